// What every page does beyond HTML: theme, keyboard, loading, and whether figures are live.
(() => {
  'use strict';
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // --- theme: switched in place; without this script the form does it with a reload ---
  const isDark = () => getComputedStyle(root).colorScheme === 'dark';
  const tellTheme = () => document.dispatchEvent(new Event('themechange'));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', tellTheme);
  document.addEventListener('click', (event) => {
    if (!event.target.closest('#theme-switch')) return;
    event.preventDefault();
    const theme = isDark() ? 'light' : 'dark';
    root.dataset.theme = theme;
    document.cookie = `molam_theme=${theme};path=/;max-age=31536000;samesite=lax`;
    document.querySelector('meta[name=color-scheme]').content = theme;
    tellTheme();
  });

  // --- loading: shown when an answer takes longer than a blink ---
  let loadingTimer;
  const loading = (on) => {
    clearTimeout(loadingTimer);
    const show = () => {
      root.classList.toggle('is-loading', on);
      byId('main')?.setAttribute('aria-busy', String(on));
      const bar = byId('loading');
      if (bar) bar.hidden = !on;
    };
    if (on) loadingTimer = setTimeout(show, 150); else show();
  };
  const swaps = (event) => event.detail?.ctx?.target?.id === 'content';
  document.addEventListener('htmx:before:request', (event) => { if (swaps(event)) loading(true); });
  document.addEventListener('htmx:finally:request', (event) => { if (swaps(event)) loading(false); });
  addEventListener('pageshow', () => loading(false));

  // --- live: connected, or cut off and since when ---
  let connection, cutAt, cutTimer, heardAt = 0;
  const SILENCE_MS = 40000;
  const clock = (at) => new Intl.DateTimeFormat(root.lang, {
    hour: '2-digit', minute: '2-digit', hour12: false, timeZone: byId('live')?.dataset.timezone,
  }).format(at);
  const showLive = (state) => {
    const live = byId('live');
    if (!live || live.dataset.state === state) return;
    live.dataset.state = state;
    byId('live-text').textContent = state === 'live'
      ? live.dataset.live : live.dataset.lost.replace('{time}', clock(cutAt));
    const stale = byId('stale');
    if (!stale) return;
    stale.hidden = state === 'live';
    if (state === 'lost') byId('stale-since').textContent = clock(cutAt);
  };
  const heard = () => {
    heardAt = Date.now();
    clearTimeout(cutTimer);
    cutTimer = cutAt = undefined;
    showLive('live');
  };
  const cut = () => {
    cutAt ??= new Date();
    // A reconnection within a second and a half is nobody's concern.
    cutTimer ??= setTimeout(() => showLive('lost'), 1500);
  };
  document.addEventListener('htmx:sse:after:connection', (event) => {
    connection = event.detail.connection;
    if (connection.status === 200) heard();
  });
  document.addEventListener('htmx:sse:before:connection', (event) => {
    if (event.detail.connection.attempt > 0 && !document.hidden) cut();
  });
  document.addEventListener('htmx:sse:error', (event) => {
    // The session ended: signing in again is the only way on.
    if (event.detail.status === 401 || event.detail.status === 403) location.reload();
    cut();
  });
  document.addEventListener('htmx:sse:before:message', heard);
  setInterval(() => {
    // A phone that lost its network leaves the stream open and silent for minutes.
    if (document.hidden || !connection || !heardAt || Date.now() - heardAt < SILENCE_MS) return;
    heardAt = Date.now();
    cut();
    connection.reader?.cancel();
  }, 5000);
  document.addEventListener('newest', (event) => {
    const bar = byId('fresh');
    if (bar && event.detail.data !== byId('stream').dataset.newest) bar.hidden = false;
  });
  // The period rolled over: the page's frame no longer fits its figures.
  document.addEventListener('rollover', () => location.reload());

  // --- keyboard ---
  const typing = (element) => element.closest('input, select, textarea, [contenteditable]');
  const links = () => [...document.querySelectorAll('#content .c-link')];
  const step = (by) => {
    const all = links();
    const at = all.indexOf(document.activeElement);
    const next = all[Math.min(Math.max(at < 0 && by < 0 ? all.length - 1 : at + by, 0), all.length - 1)];
    next?.focus();
    next?.scrollIntoView({ block: 'nearest' });
  };
  let goingUntil = 0;
  const keys = {
    '/': () => { const box = byId('q'); if (box) { box.focus(); box.select(); } else location.href = `${document.body.dataset.search ?? '/transactions'}#q`; },
    j: () => step(1),
    k: () => step(-1),
    '?': () => byId('help')?.showModal(),
    g: () => { goingUntil = Date.now() + 1500; },
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.key === 'Escape') for (const menu of document.querySelectorAll('.menu[open]')) menu.open = false;
    if (typing(event.target) || document.querySelector('dialog[open]')) return;
    if (Date.now() < goingUntil) {
      goingUntil = 0;
      const link = document.querySelector(`[data-go="${CSS.escape(event.key)}"]`);
      if (link) { event.preventDefault(); location.href = link.href; return; }
    }
    const act = keys[event.key];
    if (act) { event.preventDefault(); act(); }
  });
  document.addEventListener('click', (event) => {
    for (const menu of document.querySelectorAll('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
    const copy = event.target.closest('[data-copy]');
    if (copy) navigator.clipboard.writeText(copy.dataset.copy).then(() => { copy.textContent = copy.dataset.copied; });
    if (event.target.closest('#retry, #stale a')) { event.preventDefault(); location.reload(); }
  });
  const showChosen = () => document.querySelector('.segments [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' });
  document.addEventListener('htmx:after:swap', showChosen);
  document.addEventListener('DOMContentLoaded', () => {
    showChosen();
    if (location.hash === '#q') byId('q')?.focus();
    if (navigator.clipboard) for (const copy of document.querySelectorAll('[data-copy]')) copy.hidden = false;
  });
})();
