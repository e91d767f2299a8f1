// The operations dashboard: charts drawn from their figures, and widgets moved by hand or keys.
(() => {
  'use strict';
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const lang = document.documentElement.lang;
  const short = new Intl.NumberFormat(lang, { notation: 'compact', maximumFractionDigits: 2 });
  const plots = new Map();

  // --- charts: what the server sketched, with axes, a reading under the cursor, and a way in ---
  const tooltip = (chart) => {
    const tip = document.createElement('div');
    tip.className = 'chart-tip';
    tip.hidden = true;
    const exact = new Intl.NumberFormat(lang, { minimumFractionDigits: chart.digits, maximumFractionDigits: chart.digits });
    return {
      hooks: {
        init: (u) => {
          u.over.append(tip);
          u.over.addEventListener('click', () => {
            const href = chart.hrefs[u.cursor.idx];
            if (href) location.href = href;
          });
        },
        setCursor: (u) => {
          const at = u.cursor.idx;
          tip.hidden = at === null || at === undefined || u.cursor.left < 0;
          if (tip.hidden) return;
          const title = document.createElement('b');
          title.textContent = chart.labels[at];
          const value = u.data[1][at];
          tip.replaceChildren(title, value === null || value === undefined ? '–' : `${exact.format(value)} ${chart.after}`);
          const left = u.cursor.left + 14;
          tip.style.left = `${left + tip.offsetWidth > u.over.clientWidth ? Math.max(0, u.cursor.left - tip.offsetWidth - 14) : left}px`;
        },
      },
    };
  };
  const draw = (box) => {
    const chart = JSON.parse(box.dataset.plot);
    plots.get(box)?.destroy();
    box.replaceChildren();
    const ink = token('--chart-a'), muted = token('--muted'), font = `12px ${token('--font')}`;
    const every = (u) => {
      const step = Math.max(1, Math.ceil(chart.labels.length / Math.max(2, Math.floor(u.width / 95))));
      return chart.labels.map((_, at) => at).filter((at) => at % step === 0);
    };
    const alone = (u, at) => {
      const known = [...u.data[at].keys()].filter((index) => u.data[at][index] !== null);
      return known.length === 1 ? known : null;
    };
    const isBar = chart.kind === 'bar';
    plots.set(box, new uPlot({
      width: box.clientWidth,
      height: box.clientHeight,
      legend: { show: false },
      cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
      scales: {
        x: { time: false, range: (u, low, high) => (isBar ? [low - 0.5, high + 0.5] : [low, Math.max(high, low + 1)]) },
        y: { range: (u, low, high) => [Math.min(0, low ?? 0), high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        { stroke: muted, font, size: 32, grid: { show: false }, ticks: { show: false }, splits: every, values: (u, at) => at.map((index) => chart.labels[index]) },
        { stroke: muted, font, size: 56, grid: { stroke: token('--line'), width: 1 }, ticks: { show: false }, values: (u, values) => values.map((value) => short.format(value) + (chart.after === '%' ? ' %' : '')) },
      ],
      series: [
        {},
        isBar
          ? { stroke: ink, fill: ink, width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.7, 60] }) }
          : { stroke: ink, width: 2.25, fill: `${ink}26`, points: { show: false, filter: alone, size: 9, fill: ink }, paths: uPlot.paths.linear() },
      ],
      plugins: [tooltip(chart)],
    }, [chart.labels.map((_, at) => at), chart.values], box));
    sizes.observe(box);
  };
  const sizes = new ResizeObserver((entries) => {
    for (const { target: box } of entries) {
      const plot = plots.get(box);
      if (plot && Math.abs(plot.width - box.clientWidth) >= 3) plot.setSize({ width: box.clientWidth, height: box.clientHeight });
    }
  });
  const drawAll = () => {
    for (const [box, plot] of plots) if (!box.isConnected) { plot.destroy(); sizes.unobserve(box); plots.delete(box); }
    for (const box of document.querySelectorAll('[data-plot]')) if (!plots.has(box)) draw(box);
  };
  document.addEventListener('DOMContentLoaded', drawAll);
  document.addEventListener('htmx:after:swap', drawAll);
  document.addEventListener('themechange', () => { for (const box of [...plots.keys()]) draw(box); });

  // --- lists stay as they are under the finger; the page says that they have changed ---
  document.addEventListener('lists', (event) => {
    const grid = document.getElementById('dash');
    if (grid && event.detail.data !== grid.dataset.lists) document.getElementById('dash-fresh').hidden = false;
  });

  // --- arranging: every step is a button of a form; keys and dragging press it ---
  const grid = () => document.querySelector('.dash.is-arranging');
  const keys = { ArrowLeft: ['left', 'narrower'], ArrowRight: ['right', 'wider'], ArrowUp: ['up', 'shorter'], ArrowDown: ['down', 'taller'] };
  document.addEventListener('keydown', (event) => {
    const handle = event.target.closest?.('[data-handle]');
    if (!handle || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = event.key === 'Delete' ? 'hide' : keys[event.key]?.[event.shiftKey ? 1 : 0];
    if (!step) return;
    event.preventDefault();
    handle.form.querySelector(`[data-step="${step}"]`).click();
  });

  let dragged, moved = false;
  const drop = () => {
    if (!dragged) return;
    document.documentElement.classList.remove('is-dragging');
    dragged.classList.remove('is-dragged');
    const form = document.getElementById('dash-order');
    const order = [...grid().querySelectorAll('[data-widget]')].map((each) => each.dataset.widget);
    form.elements.order.value = order.join(',');
    form.elements.at.value = dragged.dataset.widget;
    dragged = undefined;
    if (moved) form.requestSubmit();
  };
  document.addEventListener('pointerdown', (event) => {
    const handle = event.target.closest?.('[data-handle]');
    if (!handle || event.button !== 0 || !grid()) return;
    dragged = handle.closest('[data-widget]');
    moved = false;
    dragged.classList.add('is-dragged');
    document.documentElement.classList.add('is-dragging');
  });
  document.addEventListener('pointermove', (event) => {
    if (!dragged) return;
    event.preventDefault();
    const over = document.elementFromPoint(event.clientX, event.clientY)?.closest('[data-widget]');
    if (!over || over === dragged) return;
    const box = over.getBoundingClientRect();
    const level = Math.abs(dragged.getBoundingClientRect().top - box.top) < box.height / 2;
    const before = level ? event.clientX < box.left + box.width / 2 : event.clientY < box.top + box.height / 2;
    over.parentElement.insertBefore(dragged, before ? over : over.nextSibling);
    moved = true;
  });
  document.addEventListener('pointerup', drop);
  document.addEventListener('pointercancel', drop);
})();
