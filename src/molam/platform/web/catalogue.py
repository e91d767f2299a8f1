"""One sentence per problem code, for people who do not read English."""

from __future__ import annotations

FRENCH = {
    "account-currency-mismatch": "Ce compte est tenu dans une autre devise.",
    "amount-malformed": "Ce n'est pas un montant valide.",
    "body-malformed": "Le contenu envoyé n'a pas la forme attendue.",
    "body-too-large": "Le contenu envoyé est trop volumineux.",
    "cross-site-request": "Cette demande ne vient pas de nos pages. Rechargez et réessayez.",
    "cursor-refused": "Ce lien de page n'est plus valable. Revenez au début de la liste.",
    "forbidden": "Votre rôle ne permet pas cette action.",
    "json-malformed": "Le contenu envoyé n'est pas du JSON valide.",
    "merchant-context-required": "Votre accès n'est rattaché à aucun marchand.",
    "method-not-allowed": "Cette adresse n'accepte pas cette méthode.",
    "not-found": "Il n'y a rien à cette adresse.",
    "query-malformed": "Les paramètres de l'adresse ne sont pas valides.",
    "sign-in-refused": "La connexion n'a pas abouti. Recommencez.",
    "step-up-required": "Confirmez votre identité avec votre code à usage unique.",
    "token-refused": "Votre accès a expiré ou n'est pas valable. Reconnectez-vous.",
    "too-many-attempts": "Trop d'essais. Patientez un instant avant de recommencer.",
    "too-many-streams": "Trop de pages sont ouvertes en direct. Fermez-en une.",
    "try-again": "Le service est momentanément indisponible. Réessayez dans un instant.",
    "unauthenticated": "Connectez-vous pour continuer.",
    "unforeseen": "Une erreur est survenue de notre côté. Donnez-nous le numéro de la demande.",
    "unknown-currency": "Cette devise n'est pas prise en charge.",
    "unsupported-media-type": "Ce type de contenu n'est pas accepté ici.",
}


def sentence(code: str, *, fallback: str, locale: str) -> str:
    """Say *code* in *locale*; English is the refusal's own title."""
    return FRENCH.get(code, fallback) if locale == "fr" else fallback
