'use strict';
// Shows what /live says. Whatever comes from there is text: nothing of it is read as HTML.

const kMinutes = 30;

function element(name, options = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(options)) {
    if (key === 'class') made.className = value;
    else if (key === 'text') made.textContent = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function byId(id) { return document.getElementById(id); }

function duration(seconds) {
  if (seconds >= 60) return (seconds / 60).toFixed(1) + ' min';
  if (seconds >= 1) return seconds.toFixed(2) + ' s';
  return (seconds * 1000).toFixed(seconds < 0.1 ? 1 : 0) + ' ms';
}

function number(value) {
  if (value >= 100 || Number.isInteger(value)) return Math.round(value).toLocaleString('en');
  return value.toFixed(value < 10 ? 2 : 1);
}

function percent(share) { return (100 * share).toFixed(1) + ' %'; }

function sum(values) { return values.reduce((all, one) => all + (one || 0), 0); }

// --- Changes

let confirmed = null;

function ask(question, action, run) {
  byId('question').textContent = question;
  byId('yes').textContent = action;
  confirmed = run;
  byId('confirm').showModal();
}

byId('yes').addEventListener('click', () => confirmed());

async function post(target) {
  try {
    const response = await fetch(target, {method: 'POST'});
    const answer = await response.json();
    if (!response.ok) say(answer.error || 'status ' + response.status, true);
  } catch (error) {
    say('The gateway does not answer.', true);
  }
}

function say(text, bad) {
  const place = byId('connection');
  place.textContent = text;
  place.className = bad ? 'bad' : 'quiet';
}

byId('drain').addEventListener('click', () => ask(
  'Headrace gets no new requests, finishes those that it has, and stops.', 'Drain and stop',
  () => post('/-/drain')));

function drainEndpoint(model, address) {
  ask('Send no new requests for ' + model + ' to ' + address + '? Those that run there go on.',
      'Drain', () => post('/-/drain?' + new URLSearchParams({endpoint: address, model})));
}

function resumeEndpoint(model, address) {
  post('/-/resume?' + new URLSearchParams({endpoint: address, model}));
}

// --- Charts

let pointedAt = 0;  // When somebody last moved over one.

// `series`: [{name, color, values, area}], as long as the half hour; null where there is nothing.
function chart(title, series, format, most) {
  const width = 360, height = 100, left = 2, right = 2, top = 3, bottom = 3;
  const count = series[0].values.length;
  const highest = most || Math.max(...series.flatMap(one => one.values.map(v => v || 0))) || 1;
  const x = i => left + (width - left - right) * i / Math.max(1, count - 1);
  const y = value => height - bottom - (height - top - bottom) * Math.min(1, value / highest);
  const figure = element('figure');
  const caption = element('figcaption', {}, element('b', {text: title}));
  const keys = series.map(one => {
    const key = element('span', {class: 'key', text: one.name});
    key.style.setProperty('--color', one.color);
    caption.append(key);
    return key;
  });
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, role: 'img',
                              'aria-label': title, preserveAspectRatio: 'none'});
  for (const share of [0, 0.5, 1]) {
    picture.append(svg('line', {x1: left, x2: width - right, y1: y(highest * share),
                                y2: y(highest * share), stroke: 'var(--line)'}));
  }
  const ends = (...texts) => element('div', {class: 'ends quiet'},
                                     ...texts.map(text => element('span', {text})));
  for (const one of series) {
    let path = '';
    let open = false;
    one.values.forEach((value, i) => {
      if (value === null) { open = false; return; }
      path += (open ? 'L' : 'M') + x(i).toFixed(1) + ' ' + y(value).toFixed(1);
      // A value between two gaps is a dot.
      if (!open && (one.values[i + 1] ?? null) === null) path += 'h.1';
      open = true;
    });
    picture.append(svg('path', {d: path, fill: 'none', stroke: one.color, 'stroke-width': 1.6,
                                'stroke-linecap': 'round', 'vector-effect': 'non-scaling-stroke'}));
  }
  const pointer = svg('line', {y1: top, y2: height - bottom, stroke: 'var(--quiet)', x1: -9, x2: -9});
  picture.append(pointer);
  const tell = i => keys.forEach((key, k) => {
    const value = i === null ? null : series[k].values[i];
    key.textContent = series[k].name + (i === null ? '' : ': ' + (value === null ? '–' : format(value)));
  });
  picture.addEventListener('pointermove', event => {
    pointedAt = Date.now();
    const box = picture.getBoundingClientRect();
    const i = Math.max(0, Math.min(count - 1,
                                   Math.round((event.clientX - box.left) / box.width * (count - 1))));
    pointer.setAttribute('x1', x(i));
    pointer.setAttribute('x2', x(i));
    tell(i);
  });
  picture.addEventListener('pointerleave', () => {
    pointer.setAttribute('x1', -9);
    pointer.setAttribute('x2', -9);
    tell(null);
  });
  figure.append(caption, ends(format(highest)), picture, ends(`−${kMinutes} min`, 'now'));
  return figure;
}

// --- Models

function tile(name, value, state) {
  return element('div', {class: 'tile'}, element('b', {text: value, class: state || ''}),
                 element('span', {class: 'quiet', text: name}));
}

function sloText(slo) {
  return Object.entries(slo || {}).map(([name, value]) => name.replace(/_s$/, '') + ' ' + duration(value))
      .join(', ');
}

function table(columns, rows) {
  const head = element('tr');
  for (const [title, kind] of columns) head.append(element('th', {text: title, class: kind || ''}));
  const body = element('tbody');
  for (const row of rows) {
    const line = element('tr');
    row.forEach((cell, i) => {
      const made = element('td', {class: columns[i][1] || ''});
      made.append(cell);
      line.append(made);
    });
    body.append(line);
  }
  return element('div', {class: 'scroll'}, element('table', {}, element('thead', {}, head), body));
}

function stateOf(endpoint) {
  if (endpoint.retired) return ['leaving', 'quiet'];
  if (endpoint.drained) return ['drained', 'warn'];
  if (!endpoint.up) return ['down', 'bad'];
  const circuit = endpoint.ejection.state;
  return circuit === 'closed' ? ['up', 'good'] : [circuit, 'warn'];
}

function endpointRow(model, deployment, endpoint) {
  const [state, kind] = stateOf(endpoint);
  const load = Math.max(0, endpoint.load);
  // Something runs, and there is no profile to tell its load.
  const unknown = load === 0 && endpoint.in_flight > 0;
  const bar = element('i', {class: load >= 1 ? 'full' : ''});
  bar.style.width = Math.min(100, 100 * load) + '%';
  const button = endpoint.drained ? element('button', {type: 'button', text: 'Resume'})
                                  : element('button', {type: 'button', text: 'Drain'});
  button.addEventListener('click', () => endpoint.drained
      ? resumeEndpoint(model, endpoint.address) : drainEndpoint(model, endpoint.address));
  button.dataset.key = JSON.stringify([model, deployment, endpoint.address]);
  button.setAttribute('aria-label', button.textContent + ' ' + endpoint.address);
  const faults = [endpoint.fault, endpoint.ejection.last_fault && circuitText(endpoint.ejection)];
  const forecast = endpoint.forecast;
  return [
    deployment, element('span', {text: endpoint.address}),
    element('span', {class: 'badge ' + kind, text: state}),
    unknown ? '–' : element('div', {class: 'bar', title: percent(load)}, bar),
    String(endpoint.in_flight),
    forecast ? String(forecast.prompts_in_line) : '–',
    forecast ? '× ' + forecast.scale.toFixed(2) : '–',
    element('span', {class: 'bad', text: faults.filter(Boolean).join(' ')}), button,
  ];
}

function circuitText(ejection) {
  if (ejection.state === 'closed') return '';
  return 'last fault: ' + ejection.last_fault +
      (ejection.returns_in_s === undefined ? '' : ', back in ' + duration(ejection.returns_in_s));
}

function profileText(profile) {
  if (!profile || profile.state === 'none') return element('span', {class: 'quiet', text: 'none'});
  const kind = {'in force': 'good', stale: 'warn', missing: 'bad'}[profile.state] || '';
  const faults = [profile.error, ...profile.faults].filter(Boolean).join(' ');
  return element('span', {}, element('span', {class: 'badge ' + kind, text: profile.state}),
                 element('span', {class: 'quiet', text: ' ' + profile.origin + ' ' + faults}));
}

function charts(timeline) {
  const rate = names => timeline.ended[names[0]].map(
      (_, i) => sum(names.map(name => timeline.ended[name][i])) / timeline.interval_s);
  const attained = timeline.promised.map((all, i) => all ? timeline.met[i] / all : null);
  return element('div', {class: 'charts'},
      chart('SLO attainment', [{name: 'met', color: 'var(--good)', values: attained}], percent, 1),
      chart('Requests per second', [
        {name: 'completed', color: 'var(--blue)', values: rate(['completed'])},
        {name: 'refused', color: 'var(--warn)', values: rate(['refused'])},
        {name: 'failed', color: 'var(--bad)',
         values: rate(['engine_error', 'timed_out', 'failed'])}], number),
      chart('TTFT', [
        {name: 'P50', color: 'var(--blue)', values: timeline.ttft_p50_s},
        {name: 'P95', color: 'var(--warn)', values: timeline.ttft_p95_s}], duration),
      chart('Time per token', [
        {name: 'P50', color: 'var(--blue)', values: timeline.tpot_p50_s},
        {name: 'P95', color: 'var(--warn)', values: timeline.tpot_p95_s}], duration));
}

// Of the last five minutes, or since the first request.
function tiles(model, timeline) {
  let last = 0;
  if (timeline) {
    const first = timeline.ended.completed.findIndex(
        (_, i) => Object.values(timeline.ended).some(counts => counts[i] > 0));
    const since = first < 0 ? 1 : timeline.ended.completed.length - first;
    last = Math.min(Math.round(300 / timeline.interval_s), since);
  }
  const recent = values => sum(values.slice(-last));
  const rate = values => number(recent(values) / (last * timeline.interval_s));
  // Those that leave only finish what they have.
  const all = model.deployments.flatMap(one => one.endpoints).filter(one => !one.retired);
  const up = all.filter(one => one.up && !one.drained);
  const made = [
    tile('endpoints up', up.length + ' of ' + all.length, up.length < all.length ? 'warn' : ''),
    tile('running', String(model.in_flight)),
    tile('waiting', String(model.queue.length), model.queue.length ? 'warn' : ''),
  ];
  if (timeline) {
    const promised = recent(timeline.promised);
    const share = promised ? recent(timeline.met) / promised : null;
    made.push(
        tile('SLO met, 5 min', share === null ? '–' : percent(share),
             share === null ? '' : share < 0.9 ? 'bad' : share < 0.99 ? 'warn' : 'good'),
        tile('requests per second', rate(timeline.ended.completed)),
        tile('tokens per second', rate(timeline.output_tokens)));
  }
  return element('div', {class: 'tiles'}, ...made);
}

function modelSection(model, timeline) {
  const title = element('h2', {}, model.name + ' ', element('span', {
    class: 'quiet', text: [model.policy, sloText(model.slo)].filter(Boolean).join(', '),
  }));
  const section = element('section', {'data-model': model.name}, title, tiles(model, timeline));
  if (model.source_fault) {
    section.append(element('ul', {class: 'faults'}, element('li', {text: model.source_fault})));
  }
  if (timeline) section.append(charts(timeline));
  section.append(element('h3', {text: 'Fleet'}), table(
      [['Deployment'], ['Endpoint', 'address'], ['State'], ['Load'], ['Running', 'number'],
       ['Prompts in line', 'number'], ['Slower', 'number'], ['Fault', 'why'], ['']],
      model.deployments.flatMap(deployment => deployment.endpoints.map(
          endpoint => endpointRow(model.name, deployment.name, endpoint)))));
  section.append(element('h3', {text: 'Deployments'}), table(
      [['Deployment'], ['Profile', 'why'], ['Step: base', 'number'], ['per sequence', 'number'],
       ['per prompt token', 'number'], ['per context token', 'number'], ['Learned from', 'number'],
       ['Context', 'number']],
      model.deployments.map(deployment => {
        const engine = deployment.engine;
        const learned = engine ? [
          engine.a_ms.toFixed(2) + ' ms', engine.b_us.toFixed(1) + ' µs', engine.c_us.toFixed(1) + ' µs',
          engine.d_us.toFixed(4) + ' µs', number(engine.samples)] : ['–', '–', '–', '–', '–'];
        return [deployment.name, profileText(deployment.profile), ...learned,
                deployment.max_model_len ? number(deployment.max_model_len) : '–'];
      })));
  const waiting = model.queue.sub_queues.filter(one => one.length > 0);
  const size = (queue, tokens) => queue.late ? 'late' : tokens ? number(tokens) : 'no SLO';
  if (waiting.length) {
    section.append(element('h3', {text: 'Queue'}), table(
        [['Prompt tokens', 'number'], ['Output tokens', 'number'], ['Waiting', 'number']],
        waiting.map(one => [size(one, one.prompt_tokens), size(one, one.output_tokens),
                            String(one.length)])));
  }
  return section;
}

// --- Explanations

const kPlace = '#explain/';

function placeOf(id) { return kPlace + encodeURIComponent(id); }

function milliseconds(value) { return value === undefined ? '–' : duration(value / 1000); }

function promises(value) { return value === undefined ? '–' : value.toFixed(3); }

// What was predicted beside what happened; rows of which nothing is known are left out.
function outcomeTable(request) {
  const predicted = request.predicted || {};
  const actual = request.actual || {};
  const count = value => value === undefined ? '–' : number(value);
  const met = actual.met_slo === undefined ? '–' : actual.met_slo ? 'met' : 'missed';
  const rows = [
    ['in the queue', '–', milliseconds(request.queued_ms), request.hold ? 'held: ' + request.hold : ''],
    ['TTFT', milliseconds(predicted.ttft_ms), milliseconds(actual.ttft_ms), ''],
    ['time per token', milliseconds(predicted.tpot_ms), milliseconds(actual.tpot_ms), ''],
    ['end', milliseconds(predicted.e2e_ms), milliseconds(actual.e2e_ms), ''],
    ['end, of this length', milliseconds(predicted.e2e_of_this_length_ms),
     predicted.e2e_of_this_length_ms === undefined ? '–' : milliseconds(actual.e2e_ms), ''],
    ['prompt tokens', count(request.prompt_tokens.expected), count(request.prompt_tokens.counted), ''],
    ['output tokens', count(request.output_tokens.expected), count(request.output_tokens.counted), ''],
    ['SLO', predicted.miss === undefined ? '–' : percent(predicted.miss) + ' missed', met,
     sloText(request.slo)],
    ["others' promises broken", promises(predicted.harm), '–', ''],
  ];
  return table([[''], ['Predicted', 'number'], ['Happened', 'number'], ['', 'quiet']],
               rows.filter(row => row[1] !== '–' || row[2] !== '–'));
}

function candidateTables(candidates) {
  const endpoints = candidates.filter(one => one.endpoint !== undefined);
  const deployments = candidates.filter(one => one.endpoint === undefined);
  const made = [];
  const add = (columns, all, cells) => {
    if (!all.length) return;
    made.push(table(columns, all.map(cells)));
    const rows = made.at(-1).querySelectorAll('tbody tr');
    all.forEach((one, i) => { if (one.chosen) rows[i].className = 'chosen'; });
  };
  const harmed = endpoints.some(one => one.harmed);
  add([['Candidate'], ['Endpoint', 'address'], ['Cost', 'number'], ['TTFT', 'number'],
       ['Per token', 'number'], ['End', 'number'], ['Misses', 'number'], ['Harm', 'number'],
       ...(harmed ? [['Harmed there']] : [])],
      endpoints, one => [
        one.deployment, one.endpoint, promises(one.cost), milliseconds(one.ttft_ms),
        milliseconds(one.tpot_ms), milliseconds(one.e2e_ms), percent(one.miss), promises(one.harm),
        ...(harmed ? [(one.harmed || []).map(other => other.request_id).join(', ')] : [])]);
  add([['Candidate'], ['Expected', 'number'], ['Allowed', 'number'],
       ['Takes of an endpoint', 'number'], ['Least load', 'number']],
      deployments, one => [one.deployment, milliseconds(one.expected_ms),
                           milliseconds(one.allowed_ms), percent(one.share),
                           percent(one.least_load)]);
  return made.length ? [element('h3', {text: 'Candidates, when it was sent'}), ...made] : [];
}

function explanationOf(request) {
  const kind = {completed: 'good', refused: 'warn', cancelled: 'warn', client_error: 'warn'};
  const reason = request.reason || request.fault;
  const place = request.endpoint === undefined ? '' :
      `, at ${request.deployment} ${request.endpoint} by ${request.policy}`;
  const made = [
    element('p', {}, element('span', {class: 'badge ' + (kind[request.outcome] || 'bad'),
                                      text: request.outcome.replace('_', ' ')}),
            `${reason ? ' ' + reason : ''} ${request.model}, arrived ` +
            new Date(request.arrived * 1000).toLocaleString() + place +
            (request.trace_id ? `, trace ${request.trace_id}` : '')),
    element('p', {text: request.why}), outcomeTable(request)];
  if (request.failed_tries) {
    made.push(element('h3', {text: 'Failed before'}), table(
        [['Deployment'], ['Endpoint', 'address'], ['Fault'], ['Sent after', 'number'],
         ['Took', 'number'], ['Why', 'why']],
        request.failed_tries.map(failed => [
          failed.deployment, failed.endpoint, failed.fault, milliseconds(failed.sent_ms),
          milliseconds(failed.took_ms), failed.why])));
  }
  return [...made, ...candidateTables(request.candidates || [])];
}

// Whatever the address says behind its #.
async function showExplanation() {
  const dialog = byId('explanation');
  if (!location.hash.startsWith(kPlace)) {
    dialog.close();
    return;
  }
  let id = location.hash.slice(kPlace.length);
  try { id = decodeURIComponent(id); } catch (error) { /* As it was typed. */ }
  byId('explained').textContent = id;
  byId('explanation-json').href = '/explain/' + encodeURIComponent(id);
  try {
    const answer = await (await fetch(byId('explanation-json').href)).json();
    byId('explanation-text').replaceChildren(
        ...(answer.error ? [element('p', {class: 'bad', text: answer.error})]
                         : explanationOf(answer)));
  } catch (error) {
    byId('explanation-text').replaceChildren(
        element('p', {class: 'bad', text: 'The gateway does not answer.'}));
  }
  if (!dialog.open) dialog.showModal();
}

byId('explanation').addEventListener('close', () => {
  if (location.hash.startsWith(kPlace)) history.pushState(null, '', location.pathname);
});
byId('look-up').addEventListener('submit', event => {
  event.preventDefault();
  const place = placeOf(event.target.elements.id.value.trim());
  if (location.hash === place) showExplanation(); else location.hash = place;
});
addEventListener('hashchange', showExplanation);
showExplanation();

// --- The page

let status = null;
let timelines = {models: [], failures: []};

function showConfiguration(configuration, files) {
  byId('configuration').hidden = !configuration;
  if (!configuration) return;
  const since = new Date(configuration.taken_over * 1000).toLocaleString();
  byId('file').replaceChildren(
      element('span', {class: 'badge ' + (configuration.state === 'in force' ? 'good' : 'bad'),
                       text: configuration.state}),
      ` ${configuration.file}, taken over ${since}`);
  byId('config-faults').replaceChildren(
      ...configuration.faults.concat(files.filter(file => file.fault).map(file => file.fault))
          .map(fault => element('li', {text: fault})));
  const waiting = configuration.awaiting_restart;
  byId('awaiting').hidden = !waiting.length;
  byId('awaiting').replaceChildren(
      element('span', {class: 'warn', text: 'Needs a restart: '}), waiting.join(', '));
}

function showFailures(failures) {
  byId('no-failures').hidden = failures.length > 0;
  byId('failures').hidden = !failures.length;
  byId('failures').tBodies[0].replaceChildren(...failures.map(failure => element('tr', {},
      element('td', {class: 'when', text: new Date(failure.at * 1000).toLocaleTimeString()}),
      element('td', {text: failure.model}),
      element('td', {text: failure.outcome.replace('_', ' ')}),
      element('td', {class: 'why', text: failure.why}),
      element('td', {}, element('a', {
        href: placeOf(failure.request_id),
        text: failure.request_id.length > 20 ? failure.request_id.slice(0, 19) + '…'
                                             : failure.request_id})))));
}

function show() {
  if (!status) return;
  byId('version').textContent = status.version;
  const state = status.draining ? ['draining', 'warn'] : status.ready ? ['ready', 'good']
                                                                      : ['not ready', 'bad'];
  byId('ready').textContent = state[0];
  byId('ready').className = 'badge ' + state[1];
  byId('drain').disabled = status.draining;
  showConfiguration(status.configuration, status.files);
  // A chart that somebody reads stays for a moment, and a button that is being pressed.
  const reading = Date.now() - pointedAt < 3000;
  if (!reading && !byId('models').querySelector('button:active')) showModels();
  showFailures(timelines.failures);
}

function showModels() {
  const found = new Map(timelines.models.map(one => [one.name, one]));
  const focused = document.activeElement.dataset.key;
  byId('models').replaceChildren(
      ...status.models.map(model => modelSection(model, found.get(model.name))));
  const buttons = [...byId('models').querySelectorAll('button')];
  if (focused) buttons.find(button => button.dataset.key === focused)?.focus();
}

function follow() {
  const live = new EventSource('/live');
  live.addEventListener('status', event => {
    status = JSON.parse(event.data);
    say('live', false);
    show();
  });
  live.addEventListener('timeline', event => {
    timelines = JSON.parse(event.data);
    show();
  });
  live.addEventListener('error', () => {
    say('The gateway does not answer; trying again.', true);
    // A browser gives up by itself where it was answered, but with an error.
    if (live.readyState === EventSource.CLOSED) setTimeout(follow, 2000);
  });
}
follow();
