"""Who may sign in to the demo."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

DEMO_PASSWORD = "molam-demo"  # noqa: S105 - printed on the development sign-in page.


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody made up, and the roles they were granted a month ago."""

    id: str
    name: str
    locale: str
    roles: tuple[str, ...]
    merchant_id: str | None = None

    @property
    def email(self) -> str:
        return f"{self.id}@example.com"

    @property
    def totp_secret(self) -> str:
        """Base32, the same on every machine, so that an authenticator keeps working."""
        digest = hashlib.sha256(f"molam-demo/{self.id}".encode()).digest()
        return base64.b32encode(digest[:20]).decode()


def _staff(merchant_id: str, locale: str, *people: tuple[str, str, str]) -> tuple[Person, ...]:
    return tuple(Person(id_, name, locale, (role,), merchant_id) for id_, name, role in people)


_ADMIN = "merchant_admin"
_ACCOUNTANT = "merchant_accountant"
_SUPPORT = "merchant_support"

MERCHANT_PEOPLE = (
    *_staff(
        "merchant-123",
        "fr",
        ("awa.diop", "Awa Diop", _ADMIN),
        ("moussa.ndiaye", "Moussa Ndiaye", _ADMIN),
        ("fatou.sarr", "Fatou Sarr", _ACCOUNTANT),
        ("pape.gueye", "Pape Gueye", _SUPPORT),
    ),
    *_staff(
        "merchant-cocody",
        "fr",
        ("adjoua.kouassi", "Adjoua Kouassi", _ADMIN),
        ("koffi.yao", "Koffi Yao", _ADMIN),
        ("mariam.kone", "Mariam Koné", _ACCOUNTANT),
        ("serge.bamba", "Serge Bamba", _SUPPORT),
    ),
    *_staff(
        "merchant-makola",
        "en",
        ("ama.mensah", "Ama Mensah", _ADMIN),
        ("kwame.owusu", "Kwame Owusu", _ADMIN),
        ("abena.osei", "Abena Osei", _ACCOUNTANT),
        ("kofi.addo", "Kofi Addo", _SUPPORT),
    ),
    *_staff(
        "merchant-balogun",
        "en",
        ("ngozi.okafor", "Ngozi Okafor", _ADMIN),
        ("tunde.adeyemi", "Tunde Adeyemi", _ADMIN),
        ("amina.bello", "Amina Bello", _ACCOUNTANT),
        ("emeka.eze", "Emeka Eze", _SUPPORT),
    ),
    # Nobody else at this merchant can agree to what its only admin asks for.
    *_staff("merchant-solo", "fr", ("coumba.fall", "Coumba Fall", _ADMIN)),
)

PLATFORM_PEOPLE = (
    Person("ibrahima.ba", "Ibrahima Ba", "fr", ("ops_admin",)),
    Person("khady.seck", "Khady Seck", "fr", ("ops_admin",)),
    Person("esi.boateng", "Esi Boateng", "en", ("ops_admin",)),
    Person("ousmane.sow", "Ousmane Sow", "fr", ("finance_ops",)),
    Person("aya.traore", "Aya Traoré", "fr", ("finance_ops",)),
    Person("funke.balogun", "Funke Balogun", "en", ("finance_ops",)),
    Person("cheikh.faye", "Cheikh Faye", "fr", ("pay_admin",)),
    Person("rokhaya.thiam", "Rokhaya Thiam", "fr", ("pay_admin",)),
    Person("yaw.appiah", "Yaw Appiah", "en", ("pay_admin",)),
    Person("mariama.cisse", "Mariama Cissé", "fr", ("compliance",)),
    Person("chinedu.obi", "Chinedu Obi", "en", ("compliance",)),
    Person("binta.toure", "Binta Touré", "fr", ("treasury_ops",)),
    Person("selorm.agbeko", "Selorm Agbeko", "en", ("treasury_ops",)),
    Person("dieynaba.ly", "Dieynaba Ly", "fr", ("treasury_ops",)),
    Person("lamine.diouf", "Lamine Diouf", "fr", ("mesh_viewer",)),
    Person("ndeye.kane", "Ndeye Kane", "fr", ("cfo",)),
    Person("seynabou.mbaye", "Seynabou Mbaye", "fr", ("auditor",)),
    Person("alioune.sy", "Alioune Sy", "fr", ("super_admin",)),
    # Whom the specification's examples name.
    Person("ops-admin-1", "Bineta Camara", "fr", ("ops_admin",)),
    Person("finance-user-1", "Abdou Mbengue", "fr", ("finance_ops",)),
    Person("finance-user-2", "Efua Asante", "en", ("finance_ops",)),
    # Owns an agent, and gains when its float grows; may decide nothing.
    Person("modou.diagne", "Modou Diagne", "fr", ()),
)

# Programs that ask for actions under a name of their own; they never sign in or vote.
SERVICES = (Person("sira-system", "SIRA", "fr", ()),)

DEMO_PEOPLE = MERCHANT_PEOPLE + PLATFORM_PEOPLE


def admin_of(merchant_id: str) -> str:
    """Name who opened a merchant's account: the first of its administrators."""
    staff = (each for each in MERCHANT_PEOPLE if each.merchant_id == merchant_id)
    return next(each.id for each in staff if _ADMIN in each.roles)
