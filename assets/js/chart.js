// The volume chart: this period against the one before, redrawn from the live stream.
(() => {
  'use strict';
  let plot, box, series, sizes;
  const token = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const lang = document.documentElement.lang;
  const short = new Intl.NumberFormat(lang, { notation: 'compact', maximumFractionDigits: 2 });

  const scaled = () => {
    const unit = 10 ** Number(box.dataset.exponent);
    const major = (values) => values.map((value) => (value === null ? null : value / unit));
    return [series.labels.map((_, at) => at), major(series.now), major(series.before)];
  };

  const tooltip = () => {
    const tip = document.createElement('div');
    tip.className = 'chart-tip';
    tip.hidden = true;
    const digits = Number(box.dataset.exponent);
    const exact = new Intl.NumberFormat(lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
    const line = (value) => (value === null || value === undefined ? '–' : `${exact.format(value)} ${box.dataset.symbol}`);
    return {
      hooks: {
        init: (u) => u.over.append(tip),
        setCursor: (u) => {
          const at = u.cursor.idx;
          tip.hidden = at === null || at === undefined || u.cursor.left < 0;
          if (tip.hidden) return;
          const title = document.createElement('b');
          title.textContent = series.labels[at];
          const before = document.createElement('span');
          before.textContent = line(u.data[2][at]);
          before.className = 'key key-b';
          const now = document.createElement('span');
          now.textContent = line(u.data[1][at]);
          now.className = 'key';
          tip.replaceChildren(title, now, document.createElement('br'), before);
          const left = u.cursor.left + 14;
          tip.style.left = `${left + tip.offsetWidth > u.over.clientWidth ? u.cursor.left - tip.offsetWidth - 14 : left}px`;
        },
      },
    };
  };

  const draw = () => {
    plot?.destroy();
    box.replaceChildren();
    const now = token('--chart-a'), before = token('--chart-b'), muted = token('--muted');
    const font = `12px ${token('--font')}`;
    const fill = (u) => {
      const shade = u.ctx.createLinearGradient(0, u.bbox.top, 0, u.bbox.top + u.bbox.height);
      shade.addColorStop(0, `${now}40`);
      shade.addColorStop(1, `${now}00`);
      return shade;
    };
    const every = (u) => {
      const count = series.labels.length;
      const size = Math.max(1, Math.ceil(count / Math.max(2, Math.floor(u.width / 90))));
      const step = count === 24 ? [1, 2, 3, 4, 6, 8, 12].find((hours) => hours >= size) : size;
      return series.labels.map((_, at) => at).filter((at) => at % step === 0);
    };
    // One hour or day is no line; without a dot it would not be seen at all.
    const alone = (u, at) => {
      const known = [...u.data[at].keys()].filter((index) => u.data[at][index] !== null);
      return known.length === 1 ? known : null;
    };
    plot = new uPlot({
      width: box.clientWidth,
      height: box.clientHeight,
      legend: { show: false },
      cursor: { y: false, points: { size: 8 }, drag: { x: false, y: false } },
      scales: { x: { time: false }, y: { range: (u, low, high) => [Math.min(0, low), high > 0 ? high * 1.1 : 1000] } },
      axes: [
        { stroke: muted, font, size: 32, grid: { show: false }, ticks: { show: false }, splits: every, values: (u, at) => at.map((index) => series.labels[index]) },
        { stroke: muted, font, size: 52, grid: { stroke: token('--line'), width: 1 }, ticks: { show: false }, values: (u, values) => values.map((value) => short.format(value)) },
      ],
      series: [
        {},
        { stroke: now, width: 2.25, fill, points: { show: false, filter: alone, size: 9, fill: now }, paths: uPlot.paths.spline() },
        { stroke: before, width: 1.5, dash: [4, 4], points: { show: false }, paths: uPlot.paths.spline() },
      ],
      plugins: [tooltip()],
    }, scaled(), box);
  };

  const start = () => {
    const found = document.getElementById('chart');
    if (!found || found === box) return;
    box = found;
    series = JSON.parse(box.dataset.chart);
    draw();
    sizes?.disconnect();
    let width = box.clientWidth;
    sizes = new ResizeObserver(() => {
      if (Math.abs(box.clientWidth - width) < 3) return;
      width = box.clientWidth;
      plot.setSize({ width, height: box.clientHeight });
    });
    sizes.observe(box);
  };

  document.addEventListener('DOMContentLoaded', start);
  document.addEventListener('htmx:after:swap', start);
  document.addEventListener('themechange', () => { if (box) draw(); });
  document.addEventListener('points', (event) => {
    if (!plot) return;
    for (const [at, value] of JSON.parse(event.detail.data)) series.now[at] = value;
    plot.setData(scaled());
  });
})();
