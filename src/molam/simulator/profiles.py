"""The demo's merchants and how each one trades."""

from __future__ import annotations

from dataclasses import dataclass

HISTORY_DAYS = 45
"""How much the demo looks back on: a month, and the month before it to compare with."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to pay: its share of payments, its fee and how often it fails."""

    name: str
    channel: str
    share: int
    fee_bp: int
    failed_permille: int


@dataclass(frozen=True, slots=True)
class Country:
    """What customers of a country are called, and how their phones begin."""

    calling_code: str
    operators: tuple[str, ...]
    subscriber_digits: int
    given_names: tuple[str, ...]
    family_names: tuple[str, ...]
    providers: tuple[Provider, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """A merchant's trade on an ordinary day, in its own time zone and currency."""

    merchant_id: str
    name: str
    city: str
    country: str
    currency: str
    timezone: str
    locale: str
    reference: str
    payments_per_day: float
    mean_minor: int
    step_minor: int
    """Amounts are multiples of this, as prices are."""


_WAVE = ("wave", "wallet")
_ORANGE = ("orange_money", "wallet")
_MTN = ("mtn_momo", "wallet")
_MOOV = ("moov_money", "wallet")
_FREE = ("free_money", "wallet")
_VISA = ("visa", "card")
_MASTERCARD = ("mastercard", "card")


def _provider(
    method: tuple[str, str], *, share: int, fee_bp: int, failed_permille: int
) -> Provider:
    name, channel = method
    return Provider(name, channel, share, fee_bp, failed_permille)


COUNTRIES = {
    "SN": Country(
        "+221",
        ("77", "78", "76", "70"),
        7,
        (
            "Awa", "Fatou", "Aminata", "Mariama", "Khady", "Ndeye", "Coumba", "Rokhaya",
            "Moussa", "Ibrahima", "Ousmane", "Cheikh", "Mamadou", "Abdoulaye", "Modou", "Pape",
        ),
        (
            "Diop", "Ndiaye", "Fall", "Sow", "Ba", "Gueye", "Sarr", "Faye", "Diallo", "Cissé",
            "Mbaye", "Thiam", "Sy", "Kane", "Seck", "Niang",
        ),
        (
            _provider(_WAVE, share=52, fee_bp=100, failed_permille=40),
            _provider(_ORANGE, share=31, fee_bp=150, failed_permille=62),
            _provider(_FREE, share=8, fee_bp=150, failed_permille=75),
            _provider(_VISA, share=6, fee_bp=290, failed_permille=80),
            _provider(_MASTERCARD, share=3, fee_bp=290, failed_permille=80),
        ),
    ),
    "CI": Country(
        "+225",
        ("07", "05", "01"),
        8,
        (
            "Adjoua", "Affoué", "Aya", "Mariam", "Fanta", "Akissi", "Salimata", "Nadège",
            "Kouadio", "Koffi", "Yao", "Kouamé", "Seydou", "Drissa", "Issouf", "Serge",
        ),
        (
            "Kouassi", "Koné", "Traoré", "Ouattara", "Coulibaly", "Yao", "Bamba", "N'Guessan",
            "Touré", "Kouamé", "Diabaté", "Konan", "Doumbia", "Zadi", "Gbagbo", "Aka",
        ),
        (
            _provider(_WAVE, share=38, fee_bp=100, failed_permille=40),
            _provider(_ORANGE, share=28, fee_bp=150, failed_permille=60),
            _provider(_MTN, share=19, fee_bp=150, failed_permille=65),
            _provider(_MOOV, share=9, fee_bp=150, failed_permille=78),
            _provider(_VISA, share=6, fee_bp=290, failed_permille=80),
        ),
    ),
    "GH": Country(
        "+233",
        ("24", "54", "55", "20", "27"),
        7,
        (
            "Ama", "Akosua", "Abena", "Efua", "Adwoa", "Esi", "Yaa", "Akua",
            "Kwame", "Kofi", "Kojo", "Yaw", "Kwabena", "Kwaku", "Nana", "Ebo",
        ),
        (
            "Mensah", "Owusu", "Boateng", "Asante", "Osei", "Appiah", "Agyeman", "Addo",
            "Ofori", "Amoah", "Quaye", "Annan", "Tetteh", "Sarpong", "Darko", "Nkrumah",
        ),
        (
            _provider(_MTN, share=71, fee_bp=100, failed_permille=45),
            _provider(("telecel_cash", "wallet"), share=17, fee_bp=120, failed_permille=66),
            _provider(_VISA, share=8, fee_bp=290, failed_permille=80),
            _provider(_MASTERCARD, share=4, fee_bp=290, failed_permille=80),
        ),
    ),
    "NG": Country(
        "+234",
        ("803", "806", "703", "810", "902"),
        7,
        (
            "Ngozi", "Chidinma", "Funke", "Amina", "Bola", "Ifeoma", "Zainab", "Kemi",
            "Emeka", "Tunde", "Chinedu", "Musa", "Segun", "Ibrahim", "Obinna", "Femi",
        ),
        (
            "Okafor", "Adeyemi", "Eze", "Bello", "Okonkwo", "Balogun", "Abubakar", "Nwosu",
            "Ogunleye", "Ibrahim", "Obi", "Lawal", "Uche", "Danjuma", "Adebayo", "Okoro",
        ),
        (
            _provider(("bank_transfer", "bank_transfer"), share=44, fee_bp=80, failed_permille=40),
            _provider(("opay", "wallet"), share=22, fee_bp=120, failed_permille=55),
            _provider(_MTN, share=8, fee_bp=150, failed_permille=66),
            _provider(_MASTERCARD, share=14, fee_bp=290, failed_permille=80),
            _provider(_VISA, share=12, fee_bp=290, failed_permille=80),
        ),
    ),
}  # fmt: skip

# A real month of African mobile money had a mean payment of 12,806 in local
# currency. Where the currency is not a CFA franc, prices have another scale.
_MEAN_XOF = 12_806
_MEAN_GHS_MINOR = 256_12
_MEAN_NGN_MINOR = 32_015_00

SANDAGA = Profile(
    merchant_id="merchant-123",
    name="Boutique Sandaga",
    city="Dakar",
    country="SN",
    currency="XOF",
    timezone="Africa/Dakar",
    locale="fr",
    reference="SAN",
    payments_per_day=1_200,
    mean_minor=_MEAN_XOF,
    step_minor=25,
)

PROFILES = (
    SANDAGA,
    Profile(
        merchant_id="merchant-cocody",
        name="Épicerie Cocody",
        city="Abidjan",
        country="CI",
        currency="XOF",
        timezone="Africa/Abidjan",
        locale="fr",
        reference="COC",
        payments_per_day=150,
        mean_minor=_MEAN_XOF,
        step_minor=25,
    ),
    Profile(
        merchant_id="merchant-makola",
        name="Makola Fabrics",
        city="Accra",
        country="GH",
        currency="GHS",
        timezone="Africa/Accra",
        locale="en",
        reference="MAK",
        payments_per_day=120,
        mean_minor=_MEAN_GHS_MINOR,
        step_minor=50,
    ),
    Profile(
        merchant_id="merchant-balogun",
        name="Balogun Electronics",
        city="Lagos",
        country="NG",
        currency="NGN",
        timezone="Africa/Lagos",
        locale="en",
        reference="BAL",
        payments_per_day=160,
        mean_minor=_MEAN_NGN_MINOR,
        step_minor=50_00,
    ),
    Profile(
        merchant_id="merchant-solo",
        name="Atelier Teranga",
        city="Saint-Louis",
        country="SN",
        currency="XOF",
        timezone="Africa/Dakar",
        locale="fr",
        reference="TER",
        payments_per_day=40,
        mean_minor=_MEAN_XOF,
        step_minor=25,
    ),
)

DRILLED = Profile(
    merchant_id="merchant-drill",
    name="Coopérative du Plateau",
    city="Dakar",
    country="SN",
    currency="XOF",
    timezone="Africa/Dakar",
    locale="fr",
    reference="EXO",
    payments_per_day=0,
    mean_minor=25_000,
    step_minor=100,
)
"""Whose payouts drills make. It has no customers of its own, and nobody signs in for it."""
