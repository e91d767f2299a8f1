"""The merchant's side: live figures, the merchant API and web app, imports, settings."""
