// What the ops console does beyond HTML: keys that decide, time left, pages out of date.
(() => {
  'use strict';
  const byId = (id) => document.getElementById(id);
  const typing = (element) => element.closest('input, select, textarea, [contenteditable]');
  const format = (text, values) => text.replace(/\{(\w+)\}/g, (_, name) => values[name]);

  // --- the reader's time zone: the server writes hours in it from the next page on ---
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  if (zone && !document.cookie.includes(`molam_tz=${encodeURIComponent(zone)}`)) {
    document.cookie = `molam_tz=${encodeURIComponent(zone)};path=/;max-age=31536000;samesite=lax`;
  }

  // --- how old what is shown may be: the stream beats every 15 seconds ---
  let heardAt = 0;
  document.addEventListener('htmx:sse:before:message', () => { heardAt = Date.now(); });
  document.addEventListener('htmx:sse:after:connection', () => { heardAt = Date.now(); });
  const tellAge = () => {
    const age = byId('live-age');
    if (!age || !heardAt) return;
    const seconds = Math.round((Date.now() - heardAt) / 1000);
    age.textContent = seconds < 3 ? '' : `· ${format(age.dataset.ago, { n: seconds })}`;
  };

  // --- time left: written by the server, counted down here ---
  const tellTimeLeft = () => {
    for (const element of document.querySelectorAll('[data-until]')) {
      const seconds = Math.floor((Date.parse(element.dataset.until) - Date.now()) / 1000);
      if (Number.isNaN(seconds)) continue;
      const words = byId('left-words').dataset;
      const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60);
      element.textContent = seconds <= 0 ? words.over
        : days >= 2 ? format(words.days, { d: days, h: hours % 24 })
        : hours >= 1 ? format(words.hours, { h: hours, m: minutes % 60 })
        : format(words.minutes, { m: minutes, s: String(seconds % 60).padStart(2, '0') });
      element.closest('.left')?.classList.toggle('is-urgent', seconds < 3600);
    }
  };
  setInterval(() => { tellAge(); if (byId('left-words')) tellTimeLeft(); }, 1000);

  // --- a page that is out of date asks before it lets anybody decide ---
  const outOfDate = (key) => {
    const bar = byId('decide');
    if (!bar || bar.dataset.key === key) return;
    bar.classList.add('is-stale');
    const warning = byId('changed');
    if (warning) warning.hidden = false;
    for (const button of bar.querySelectorAll('button[type=submit]')) button.disabled = true;
  };
  document.addEventListener('standing', (event) => outOfDate(event.detail.data));
  document.addEventListener('waiting', (event) => {
    const here = byId('queue');
    const bar = byId('fresh');
    if (bar && here && event.detail.data !== here.dataset.key) bar.hidden = false;
    const count = event.detail.data.split(':')[0];
    for (const badge of document.querySelectorAll('[data-turn]')) {
      badge.firstChild.nodeValue = count;
      badge.hidden = count === '0';
    }
  });

  // --- panels of the decision bar: one at a time, the cursor goes where one types ---
  const panels = () => [...document.querySelectorAll('#decide details')];
  const open = (panel) => {
    for (const other of panels()) if (other !== panel) other.open = false;
    panel.open = true;
    const first = panel.querySelector('textarea, input:not([type=hidden]), button:not(:disabled)');
    (first ?? panel.querySelector('summary')).focus();
  };
  document.addEventListener('click', (event) => {
    const summary = event.target.closest('#decide summary');
    if (summary) {
      event.preventDefault();
      const panel = summary.parentElement;
      if (panel.open) panel.open = false; else open(panel);
      return;
    }
    if (event.target.closest('[data-dismiss]')) {
      const panel = event.target.closest('details');
      event.preventDefault();
      panel.open = false;
      panel.querySelector('summary').focus();
    }
    if (!event.target.closest('#decide')) for (const panel of panels()) panel.open = false;
  });

  // --- typed confirmation: the button wakes when the words match ---
  const loose = (text) => text.replace(/[\s.,\u00a0\u202f]/g, '').toLowerCase();
  document.addEventListener('input', (event) => {
    const box = event.target.closest('[data-confirm]');
    if (!box || byId('decide')?.classList.contains('is-stale')) return;
    const right = box.dataset.confirm.split('|').some((each) => loose(each) === loose(box.value));
    box.form.querySelector('button[type=submit]').disabled = !right;
    box.setAttribute('aria-invalid', String(box.value !== '' && !right));
  });

  // --- sent once, however often it is clicked ---
  document.addEventListener('submit', (event) => {
    if (event.defaultPrevented || event.target.method !== 'post') return;
    if (event.target.dataset.sent) { event.preventDefault(); return; }
    event.target.dataset.sent = 'yes';
    setTimeout(() => { delete event.target.dataset.sent; }, 8000);
  });

  // --- keys ---
  const act = (key) => {
    const target = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (target?.matches('summary')) { open(target.parentElement); return true; }
    if (target) { target.scrollIntoView({ block: 'start' }); target.focus({ preventScroll: true }); return true; }
    const row = document.activeElement?.closest?.('.c-link');
    if (row && ['a', 'r', 'b', 'c'].includes(key)) { location.href = `${row.href}#${key}`; return true; }
    return false;
  };
  document.addEventListener('keydown', (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === 'k') {
      event.preventDefault();
      const box = byId('q');
      if (box) box.focus(); else location.href = `${document.body.dataset.search ?? '/ops/search'}#q`;
      return;
    }
    if (event.key === 'Escape') {
      const panel = panels().find((each) => each.open);
      if (panel) { panel.open = false; panel.querySelector('summary').focus(); }
      return;
    }
    // What app.js took for itself (g and a letter, j, k, /) is not meant for us as well.
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (typing(event.target) || document.querySelector('dialog[open]')) return;
    if (event.key.length === 1 && act(event.key)) event.preventDefault();
  });
  document.addEventListener('DOMContentLoaded', () => {
    tellTimeLeft();
    for (const box of document.querySelectorAll('[data-confirm]')) {
      box.form.querySelector('button[type=submit]').disabled = true;
    }
    if (/^#[arbc]$/.test(location.hash)) act(location.hash.slice(1));
    const at = byId('move-focus');
    if (at) at.focus();
  });
})();
