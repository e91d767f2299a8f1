"""What the mesh writes down in English, told in the reader's language."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from molam.mesh.routing import reasons
from molam.platform.web import catalogue
from molam.platform.web.l10n import Language

# Sentences as they are raised or stored, {} for what is filled in.
FRENCH: Mapping[str, str] = MappingProxyType(
    {
        # Routes
        "A signature counts once.": "Une signature ne vaut qu'une fois.",
        "Ask for a new one: what it stands on is an hour old.": (
            "Demandez-en une autre : ce sur quoi elle repose a une heure."
        ),
        "Ask for a new proposal: this one was not applied in time.": (
            "Demandez une autre proposition : celle-ci n'a pas été appliquée à temps."
        ),
        "Each of them is out of use, closed, not cleared, or has no account of ours.": (
            "Chacune est hors service, fermée, non vérifiée, ou sans compte à nous."
        ),
        "It is simulated before it is applied.": "On l'essaie avant de l'appliquer.",
        "It is {} likely to be right, and {} is asked for.": (
            "Elle est juste avec une probabilité de {}, et {} est demandé."
        ),
        "It is {}; only what is undecided can be simulated.": (
            "Elle est {} ; on n'essaie que ce qui n'est pas décidé."
        ),
        "It was decided meanwhile.": "Elle a été décidée entre-temps.",
        "It was proposed under other rules; ask for a new proposal.": (
            "Elle a été proposée sous d'autres règles ; demandez-en une autre."
        ),
        "Nothing is applied by itself in this region.": (
            "Rien n'est appliqué sans accord dans cette région."
        ),
        "They wait, have ended, are in doubt, or are being recalled.": (
            "Ils attendent, sont terminés, en doute, ou déjà rappelés."
        ),
        "Say from_bank_profile_id: the payouts are with no bank, or several.": (
            "Précisez la banque actuelle : les versements n'en ont pas, ou plusieurs."
        ),
        "Only a route that is applied can be taken back; this one is {}.": (
            "On ne revient que sur une route appliquée ; celle-ci est {}."
        ),
        "People have to approve it first.": "Des personnes doivent d'abord l'approuver.",
        "Propose another route instead; recall what was sent.": (
            "Proposez plutôt une autre route, et rappelez ce qui est parti."
        ),
        "Say why the route is taken back.": "Dites pourquoi on revient sur la route.",
        "Stopped by {}: {}": "Arrêt enclenché par {} : {}",
        "Take the later one back first.": "Revenez d'abord sur la plus récente.",
        "The best other bank is expected to fail as often as the one that would be left.": (
            "La meilleure des autres banques tomberait aussi souvent que celle à quitter."
        ),
        "None of the banks that were asked for is a member that may carry this.": (
            "Aucune des banques demandées n'est un membre qui puisse porter cela."
        ),
        "No bank may carry any of these amounts within the cost rule and its limits.": (
            "Aucune banque ne peut porter l'un de ces montants sans dépasser la règle de coût ou "
            "ses plafonds."
        ),
        "The region has no members.": "La région n'a pas de membres.",
        "The proposal is {}.": "La proposition est {}.",
        "The signature is another proposal's.": "La signature est celle d'une autre proposition.",
        "Use a new key for something else.": "Prenez une autre clé pour autre chose.",
        "max_amount is below min_amount.": "Le montant le plus grand est sous le plus petit.",
        "A gradual shift moved {} % of it; two people may let it go on.": (
            "Une bascule progressive en a mené {} % ; deux personnes peuvent la poursuivre."
        ),
        "Another practice goes on.": "Un autre exercice est en cours.",
        "Each of them is out of use, closed, not cleared, has no account of ours, or lies behind "
        "a corridor that is closed or full.": (
            "Chacune est hors service, fermée, non vérifiée, sans compte à nous, ou derrière un "
            "corridor fermé ou plein."
        ),
        "Each of them was sent, has ended, or is with another bank.": (
            "Chacun est parti, terminé, ou dans une autre banque."
        ),
        "It was decided, or its time is over.": "C'est décidé, ou le délai est passé.",
        "The bank that payouts leave is well; the shift would be halted again at once.": (
            "La banque quittée va bien ; la bascule serait aussitôt interrompue de nouveau."
        ),
        "Only a gradual shift that was halted can go on.": (
            "Seule une bascule progressive interrompue peut être poursuivie."
        ),
        "Say why the shift goes on.": "Dites pourquoi la bascule se poursuit.",
        "Something is the matter by now.": "Quelque chose ne va pas entre-temps.",
        "The bank that would practise may not be given any of these payouts.": (
            "La banque qui s'exercerait ne peut recevoir aucun de ces versements."
        ),
        "What waits there is carried by no other bank.": (
            "Aucune autre banque ne porte ce qui y attend."
        ),
        "What was signed held for an hour. Propose the route anew.": (
            "La signature valait une heure. Proposez la route à nouveau."
        ),
        # Members, policies, switches
        "It is {} there.": "Son état là-bas : {}.",
        "The bank carries {}; name one of these among supported_currencies.": (
            "La banque porte {} ; nommez-en une devise."
        ),
        "What it shares is written like core:host-a.": (
            "Ce qu'elle partage s'écrit comme core:host-a."
        ),
        "The member is {}, not {}.": "L'état du membre est : {} ; il faudrait : {}.",
        "Check the member's id.": "Vérifiez l'identifiant du membre.",
        "Read it again.": "Relisez-la.",
        "Choose another name.": "Choisissez un autre nom.",
        "Nothing is called {}.": "Rien ne s'appelle {}.",
        "Nothing is stopped there.": "Rien n'est arrêté là.",
        "A scope is global, region:<id>, member:<id> or policy:<id>.": (
            "On arrête tout, une région, un membre ou une règle."
        ),
        "{} is between {} and {}.": "Écrivez un nombre entre {1} et {2}.",
        "{} has at most {} decimal places.": "Au plus {1} décimales.",
        "Invalid decimal string - at {}.": "Ce n'est pas un nombre.",
        "Expected `int`, got {} - at {}.": "Écrivez un nombre entier.",
        "Expected `int | null`, got {} - at {}.": "Écrivez un nombre entier, ou rien.",
        "Expected `int` >= {} - at {}.": "Écrivez un nombre entier d'au moins {0}.",
        "Expected `int` <= {} - at {}.": "Écrivez un nombre entier d'au plus {0}.",
        "Expected `str` of length >= 1 - at {}.": "Écrivez quelque chose.",
        "Expected `array` of length >= {} - at {}.": "Il en faut au moins {0}.",
        "Expected `array` of length <= {} - at {}.": "Il en faut au plus {0}.",
        "Invalid enum value {} - at {}.": "{0} n'est pas un choix possible.",
        "{} and auto_confidence_threshold are one rule; give one of them.": (
            "{} et auto_confidence_threshold sont une seule règle ; n'en donnez qu'une."
        ),
        "gradual_steps rise to 100.": "Les étapes montent jusqu'à 100.",
        "direct_p_down is at least leave_p_down.": (
            "Une banque n'est pas quittée aussitôt avant d'être quittée tout court."
        ),
        "flap_reuse is below flap_suppress.": (
            "On redécide en dessous de la pénalité où l'on ne décide plus."
        ),
        "compliance_checks names each check once.": "Chaque contrôle est nommé une fois.",
        "return_p_down is below leave_p_down, or a bank is left and taken at once.": (
            "Une banque revient sous la probabilité à laquelle on la quitte, sinon elle serait "
            "quittée et reprise à la fois."
        ),
        # Money at banks
        "A limit of nothing would let nothing pass.": "Un plafond nul ne laisserait rien passer.",
        "Check the number of the movement.": "Vérifiez le numéro du mouvement.",
        "Name a draw of this pool.": "Nommez un tirage de ce fonds.",
        "Name the draw that is given back.": "Nommez le tirage qui est rendu.",
        "Less than that is still owed for this draw.": (
            "Il reste moins que cela à rendre pour ce tirage."
        ),
        "Use a new key for a new request.": "Rechargez la page et recommencez.",
        "It has nothing to do today; the next plan will look again.": (
            "Il n'a rien à faire aujourd'hui ; le prochain plan regardera de nouveau."
        ),
        "It is {}.": "Son état : {}.",
        "It was made for another day; make a new one.": (
            "Il a été fait pour un autre jour ; faites-en un autre."
        ),
        "{} holds less {} than the plan takes; make a new one.": (
            "{} a moins de {} que le plan n'en prend ; faites-en un autre."
        ),
        "The region has a pool of this name already.": "La région a déjà un fonds de ce nom.",
        "There is another pool of this id.": "Un autre fonds a cet identifiant.",
        "{} is no bank of ours that keeps {}.": "{} n'est pas une de nos banques en {}.",
        "Choose a file.": "Choisissez un fichier.",
        "Write digits only.": "Écrivez des chiffres.",
        "{} has {} decimals.": "{} s'écrit avec {} décimales.",
        "The amount is too large.": "Le montant est trop grand.",
        # Corridors
        "A path begins at the first region and ends at the last.": (
            "Un chemin commence à la première région et finit à la dernière."
        ),
        "At most {} steps lead from region to region.": "Au plus {} étapes de région à région.",
        "Each end is agreed to by somebody else.": "Chaque bout demande une autre personne.",
        "The path comes to a region twice.": "Le chemin passe deux fois par une région.",
        "The region is neither end of it.": "La région n'est à aucun de ses bouts.",
        "There is one along this path already.": "Il y en a déjà un sur ce chemin.",
        "It was proposed here on other terms.": "Il a été proposé ici à d'autres conditions.",
        "That region agrees by itself, with a message that it signs.": (
            "Cette région donne son accord elle-même, par un message qu'elle signe."
        ),
        "A settlement of nothing settles nothing.": "Un règlement de rien ne règle rien.",
        "Settlements are listed beside their corridor.": (
            "Les règlements sont listés à côté de leur corridor."
        ),
        "Somebody else than whoever noted it confirms it.": (
            "Une autre personne que celle qui l'a noté le confirme."
        ),
        "This reference stands for another amount.": "Cette référence vaut pour un autre montant.",
        # Drills
        "A drill needs a bank that carries transfers in {}, one by one.": (
            "Un exercice demande une banque qui porte des virements en {}, un par un."
        ),
        "No bank is simulated here.": "Aucune banque n'est simulée ici.",
        "Only simulated banks are broken on purpose.": (
            "Seules des banques simulées sont mises en panne exprès."
        ),
        "There is no such bank, or a drill of it runs already.": (
            "Cette banque n'existe pas, ou un exercice y est déjà en cours."
        ),
        "the simulated bank is away": "La banque simulée ne répond pas.",
        # Fields of forms
        "This is needed.": "Ce champ est nécessaire.",
        "Write a whole number from {} to {}.": "Écrivez un nombre entier de {} à {}.",
    }
)

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "proposed": "proposée",
        "simulated": "essayée",
        "approved": "approuvée",
        "applied": "appliquée",
        "rejected": "rejetée",
        "rolled_back": "annulée",
        "expired": "expirée",
        "active": "actif",
        "pending_approval": "en attente d'accord",
        "suspended": "suspendu",
        "disabled": "non admis",
        "ready": "prêt",
        "waiting": "en attente d'accord",
        "executed": "exécuté",
        "superseded": "remplacé",
        "failed": "échoué",
        "nothing_to_do": "sans rien à faire",
        "closed": "fermé",
        "bank accounts": "les comptes bancaires",
    }
)

_REGIONS = frozenset({"CEDEAO", "EU", "US", "GLOBAL"})
"""Those that are delivered, each with a policy."""
_CODED = re.compile(r"(?P<code>[a-z][a-z-]+): (?P<detail>.*)", re.DOTALL)


def told(detail: str, language: Language) -> str:
    """Say *detail* to a reader; nothing where French has no words for it."""
    return detail if language == "en" else in_french(detail) or ""


def in_french(detail: str) -> str | None:
    """Translate what the mesh wrote down; None for what somebody else wrote."""
    whole = _sentence(detail)
    if whole is not None:
        return whole
    parts = [_named(part) for part in detail.split("; ")]
    return "; ".join(part for part in parts if part) if all(parts) else None


def coded(stored: str) -> tuple[str, str]:
    """Take apart what is stored of a refusal, ``code: detail``; the code is empty without one."""
    match = _CODED.fullmatch(stored)
    return ("", stored) if match is None else (match["code"], match["detail"])


def failure(stored: str, language: Language) -> str:
    """Say why something was refused, as it was stored: ``code: detail``."""
    code, detail = coded(stored)
    if language == "en":
        return detail
    sentence = catalogue.sentence(code, fallback="", locale=language)
    return f"{sentence} {in_french(detail) or ''}".strip() or detail


def delivered(name: str, language: Language) -> str:
    """Say what a policy is called that was delivered; a name that people gave stays as it is."""
    region, _, word = name.partition(" ")
    if language != "fr" or word != "default" or region not in _REGIONS:
        return name
    return f"{region} par défaut"


def _named(part: str) -> str | None:
    """Translate ``Bank: sentence``."""
    name, colon, rest = part.partition(": ")
    sentence = _sentence(rest) if colon else None
    return None if sentence is None else f"{name} : {sentence}"


def _sentence(text: str) -> str | None:
    for pattern, french, names in _patterns():
        match = pattern.fullmatch(text)
        if match is None:
            continue
        filled = [_WORDS.get(value, value) for value in match.groups()]
        return french.format(*filled, **dict(zip(names, filled, strict=False)))
    return None


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str, tuple[str, ...]], ...]:
    return tuple(_compiled())


def _compiled() -> Iterator[tuple[re.Pattern[str], str, tuple[str, ...]]]:
    # The most specific first: fewer gaps, then more words.
    pairs = sorted(
        [*FRENCH.items(), *reasons.PAIRS], key=lambda each: (_gaps(each[0]), -len(each[0]))
    )
    for english, french in pairs:
        names = tuple(re.findall(r"\{(\w*)\}", english))
        fixed = re.split(r"\{\w*\}", english)
        yield re.compile("(.+?)".join(map(re.escape, fixed)), re.DOTALL), french, names


def _gaps(english: str) -> int:
    return len(re.findall(r"\{\w*\}", english))
