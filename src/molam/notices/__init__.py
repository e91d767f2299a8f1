"""Telling people: an inbox for everybody, and an outbox for mail, webhooks and chat."""
