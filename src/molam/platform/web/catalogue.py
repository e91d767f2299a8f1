"""One sentence per problem code, for people who do not read English."""

from __future__ import annotations

FRENCH = {
    "alert-absent": "Cette alerte n'existe pas.",
    "amount-malformed": "Ce n'est pas un montant valide.",
    "amount-range-malformed": "Le montant minimal dépasse le montant maximal.",
    "asset-absent": "Ce fichier n'existe plus. Rechargez la page.",
    "body-malformed": "Le contenu envoyé n'a pas la forme attendue.",
    "body-too-large": "Le contenu envoyé est trop volumineux.",
    "cross-site-request": "Cette demande ne vient pas de nos pages. Rechargez et réessayez.",
    "cursor-refused": "Ce lien de page n'est plus valable. Revenez au début de la liste.",
    "date-range-malformed": "Ces dates ne forment pas une période.",
    "event-refused": "Un évènement du lot ne peut pas être accepté.",
    "forbidden": "Votre rôle ne permet pas cette action.",
    "import-elsewhere": "Quelqu'un d'autre importe ce fichier en ce moment.",
    "import-file-malformed": "Ce fichier ne peut pas être importé.",
    "import-mapping-malformed": "Cette correspondance de colonnes ne peut pas être utilisée.",
    "import-row-refused": "Cette ligne ne peut pas être importée.",
    "json-malformed": "Le contenu envoyé n'est pas du JSON valide.",
    "merchant-absent": "Ce marchand n'existe pas.",
    "merchant-context-required": "Votre accès n'est rattaché à aucun marchand.",
    "merchant-unknown": "Un évènement nomme un marchand qui n'est pas inscrit.",
    "method-not-allowed": "Cette adresse n'accepte pas cette méthode.",
    "not-an-event": "Ce message ne peut pas être remis dans la file.",
    "not-found": "Il n'y a rien à cette adresse.",
    "period-malformed": "Ce n'est pas une période valide.",
    "query-malformed": "Les paramètres de l'adresse ne sont pas valides.",
    "sign-in-refused": "La connexion n'a pas abouti. Recommencez.",
    "sign-in-request-refused": "Cette demande de connexion n'est pas valable.",
    "step-up-required": "Confirmez votre identité avec votre code à usage unique.",
    "timezone-unknown": "Ce fuseau horaire n'existe pas.",
    "token-refused": "Votre accès a expiré ou n'est pas valable. Reconnectez-vous.",
    "too-many-attempts": "Trop d'essais. Patientez un instant avant de recommencer.",
    "too-many-streams": "Trop de pages sont ouvertes en direct. Fermez-en une.",
    "transaction-not-found": "Cette transaction n'existe pas.",
    "try-again": "Le service est momentanément indisponible. Réessayez dans un instant.",
    "unauthenticated": "Connectez-vous pour continuer.",
    "unforeseen": "Une erreur est survenue de notre côté. Donnez-nous le numéro de la demande.",
    "unknown-currency": "Cette devise n'est pas prise en charge.",
    "unsupported-media-type": "Ce type de contenu n'est pas accepté ici.",
}


def sentence(code: str, *, fallback: str, locale: str) -> str:
    """Say *code* in *locale*; English is the refusal's own title."""
    return FRENCH.get(code, fallback) if locale == "fr" else fallback
