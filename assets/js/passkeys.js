// Passkeys: making one, and signing one vote with one. The forms are ordinary forms; this
// fills in what the browser's own dialog answers, then sends them.
(() => {
  'use strict';
  const bytes = (text) => Uint8Array.from(
    atob(text.replace(/-/g, '+').replace(/_/g, '/')), (char) => char.charCodeAt(0),
  );
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const known = (list) => (list ?? []).map((each) => ({ ...each, id: bytes(each.id) }));

  const ask = async (form, address, body) => {
    const headers = { 'X-CSRF-Token': form.elements.csrf_token.value, Accept: 'application/json' };
    if (body) headers['Content-Type'] = 'application/json';
    const answer = await fetch(address, {
      method: 'POST', headers, body: body && JSON.stringify(body), credentials: 'same-origin',
    });
    // The proof of who one is has aged meanwhile: the page says where to renew it.
    if (answer.status === 401) location.reload();
    const said = await answer.json();
    if (!answer.ok) throw new Error(said.message ?? said.detail ?? '');
    return said.options;
  };

  const create = async (options) => {
    const made = await navigator.credentials.create({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        user: { ...options.user, id: bytes(options.user.id) },
        excludeCredentials: known(options.excludeCredentials),
      },
    });
    return {
      id: made.id,
      rawId: text(made.rawId),
      type: made.type,
      response: {
        clientDataJSON: text(made.response.clientDataJSON),
        attestationObject: text(made.response.attestationObject),
      },
    };
  };

  const sign = async (options) => {
    const given = await navigator.credentials.get({
      publicKey: {
        ...options,
        challenge: bytes(options.challenge),
        allowCredentials: known(options.allowCredentials),
      },
    });
    return {
      id: given.id,
      rawId: text(given.rawId),
      type: given.type,
      response: {
        clientDataJSON: text(given.response.clientDataJSON),
        authenticatorData: text(given.response.authenticatorData),
        signature: text(given.response.signature),
      },
    };
  };

  const complete = async (form) => {
    if (form.dataset.passkeyAdd) {
      form.elements.credential.value = JSON.stringify(
        await create(await ask(form, form.dataset.passkeyAdd)),
      );
      return;
    }
    const { vote, intent_hash: intent, view_hash: view } = form.elements;
    const shown = { vote: vote.value, intent_hash: intent.value, view_hash: view.value };
    form.elements.passkey.value = JSON.stringify(
      await sign(await ask(form, form.dataset.passkeyVote, shown)),
    );
  };

  const trouble = (form, error) => {
    const line = form.querySelector('[data-passkey-trouble]');
    const cancelled = error instanceof DOMException;
    line.textContent = cancelled ? line.dataset.cancelled : (error.message || line.dataset.failed);
    line.hidden = false;
  };

  // Before anybody else's listeners: what is not complete yet is not sent.
  document.addEventListener('submit', (event) => {
    const form = event.target;
    if (!form.dataset.passkeyAdd && !form.dataset.passkeyVote) return;
    if (form.dataset.complete) return;
    event.preventDefault();
    const line = form.querySelector('[data-passkey-trouble]');
    line.hidden = true;
    if (!window.PublicKeyCredential) {
      line.textContent = line.dataset.unable;
      line.hidden = false;
      return;
    }
    const button = form.querySelector('button[type=submit]');
    button.disabled = true;
    complete(form).then(() => {
      form.dataset.complete = 'yes';
      button.disabled = false;
      form.requestSubmit();
    }).catch((error) => {
      button.disabled = false;
      trouble(form, error);
    });
  }, true);

  document.addEventListener('DOMContentLoaded', () => {
    for (const part of document.querySelectorAll('[data-passkey-offer]')) {
      part.hidden = !window.PublicKeyCredential;
    }
  });
})();
