// Adding files to a dispute by dropping them, or from a phone's camera, with their progress.
// Without this script the form sends one file at a time.
(() => {
  'use strict';
  const form = document.getElementById('drop');
  if (!form) return;
  const input = form.querySelector('#file');
  const camera = form.querySelector('#camera');
  const progress = form.querySelector('.drop-progress');
  const csrf = form.querySelector('[name=csrf_token]').value;
  const waiting = [];
  let added = 0;
  let failed = 0;
  let busy = false;

  form.querySelector('.drop-hint').hidden = false;
  input.multiple = true;
  input.required = false;
  camera.disabled = false;
  // Only where there is a finger is there a camera worth opening.
  form.querySelector('label[for=camera]').hidden = !matchMedia('(pointer: coarse)').matches;

  const filled = (pattern, words) => pattern.replace(/{(\w+)}/g, (_, name) => words[name]);

  const lineFor = (file) => {
    const line = document.createElement('div');
    line.append(document.createElement('span'), document.createElement('progress'));
    line.lastChild.className = 'bar';
    line.lastChild.max = 100;
    progress.append(line);
    const say = (percent) => {
      line.firstChild.textContent = filled(form.dataset.sending, { file: file.name, percent });
      line.lastChild.value = percent;
    };
    const fail = (reason) => {
      line.className = 'hue-red';
      line.textContent = filled(form.dataset.failed, { file: file.name, reason });
    };
    say(0);
    return { say, fail };
  };

  const send = ({ file, kind, description, line }) => new Promise((resolve) => {
    const body = new FormData();
    body.append('kind', kind);
    if (description) body.append('description', description);
    body.append('file', file);
    const request = new XMLHttpRequest();
    request.open('POST', form.dataset.api);
    request.responseType = 'json';
    request.setRequestHeader('X-CSRF-Token', csrf);
    request.upload.addEventListener('progress', (event) => {
      if (event.lengthComputable) line.say(Math.floor(100 * event.loaded / event.total));
    });
    request.addEventListener('load', () => {
      if (request.status < 300) {
        added += 1;
      } else {
        failed += 1;
        line.fail(request.response?.message ?? request.status);
      }
      resolve();
    });
    request.addEventListener('error', () => {
      failed += 1;
      line.fail(form.dataset.broken);
      resolve();
    });
    request.send(body);
  });

  // One at a time: a phone's line is no faster for two.
  const work = async () => {
    if (busy) return;
    busy = true;
    while (waiting.length) await send(waiting.shift());
    busy = false;
    if (added && !failed) location.assign(`${location.pathname}?said=file-added`);
    else if (added) setTimeout(() => location.reload(), 6000);
  };

  const take = (files) => {
    const kind = form.elements.kind.value;
    const description = form.elements.description.value;
    for (const file of files) waiting.push({ file, kind, description, line: lineFor(file) });
    work();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    take(input.files);
    input.value = '';
  });
  camera.addEventListener('change', () => take(camera.files));
  const over = (on) => (event) => {
    if (![...event.dataTransfer.types].includes('Files')) return;
    event.preventDefault();
    form.classList.toggle('is-over', on);
  };
  form.addEventListener('dragover', over(true));
  form.addEventListener('dragleave', over(false));
  form.addEventListener('drop', (event) => {
    over(false)(event);
    take(event.dataTransfer.files);
  });
})();
