// Real `headrace serve` and `headrace engine` processes, for the tests of the OpenAI client.
// The environment variable HEADRACE names the program.
'use strict';

const assert = require('node:assert/strict');
const {spawn} = require('node:child_process');
const {once} = require('node:events');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const {setTimeout: sleep} = require('node:timers/promises');
const OpenAI = require('openai');

const MODEL = 'llama2-7b';
const PATIENCE_MS = 20_000;

// Waits until `holds()` is true: for what other processes bring about.
async function eventually(holds) {
  const end = Date.now() + PATIENCE_MS;
  while (!await holds()) {
    assert.ok(Date.now() < end, 'it did not come to pass');
    await sleep(5);
  }
}

async function get(address, target) {
  return (await fetch(`http://${address}${target}`, {headers: {connection: 'close'}})).text();
}

// The sum of the series of that name whose labels include `label` (`key="value"`).
function metric(text, name, label = '') {
  return text.split('\n')
      .filter((line) => line.startsWith(name + '{') && line.includes(label))
      .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}

const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

class Process {
  // What it says is searched for `pattern`, whose groups become `found`.
  static async start(args, pattern) {
    const self = new this();
    self.process = spawn(process.env.HEADRACE, args, {stdio: ['ignore', 'pipe', 'pipe']});
    children.add(self.process);
    self.process.on('exit', () => children.delete(self.process));
    let said = '';
    for (const output of [self.process.stdout, self.process.stderr]) {
      output.on('data', (data) => said += data);
    }
    await eventually(() => {
      assert.equal(self.process.exitCode, null, `it ended: ${said}`);
      return self.found = said.match(pattern);
    });
    return self;
  }

  async stop(signal = 'SIGTERM') {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill(signal);
    await ended;
  }
}

class Engine extends Process {
  static async start({gpu = 'a10', speed = 200, address = '127.0.0.1:0'} = {}) {
    const args = ['engine', '--listen', address, '--gpu', gpu, '--model', MODEL, '--speed', speed];
    const engine = await super.start(args, /at http:\/\/(\S+)/);
    engine.address = engine.found[1];
    return engine;
  }

  async running() {
    return metric(await get(this.address, '/metrics'), 'vllm:num_requests_running');
  }
}

class Gateway extends Process {
  // `engines`: {deployment: engine}, each of which takes `fits` requests at a time.
  static async start(engines, {fits = 10, model = {}, ...config} = {}) {
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'headrace-'));
    const deployments = Object.entries(engines).map(([name, engine]) => {
      // A profile of one cell: E2E takes a second.
      const profile = {gpu: name, cost: 1, tputs: [[fits]], indexes: [[64], [64]], created: 1,
                       e2e: [[1]], slos: {e2e: 100}};
      fs.writeFileSync(path.join(folder, `${name}.json`), JSON.stringify(profile));
      return {name, endpoints: [engine.address]};
    });
    const file = path.join(folder, 'headrace.yaml');
    fs.writeFileSync(file, JSON.stringify({  // JSON is YAML.
      listen: '127.0.0.1:0',
      admin: '127.0.0.1:0',
      threads: 2,
      profiles: {directory: folder},
      health: {interval: '100ms', timeout: '100ms'},
      models: [{name: MODEL, policy: 'slo', deployments, ...model}],
      ...config,
    }));
    const gateway = await super.start(['serve', '--config', file],
                                      /serving.*address=(\S+) admin=(\S+)/);
    fs.rmSync(folder, {recursive: true});
    [, gateway.address, gateway.admin] = gateway.found;
    return gateway;
  }

  client(options) {
    return new OpenAI({baseURL: `http://${this.address}/v1`, apiKey: 'none', maxRetries: 0,
                       timeout: PATIENCE_MS, ...options});
  }

  async metric(name, label) {
    return metric(await get(this.admin, '/metrics'), name, label);
  }

  // The only model's part of /status.
  async status() {
    return JSON.parse(await get(this.admin, '/status')).models[0];
  }
  async running() {
    return (await this.status()).in_flight;
  }
  async waiting() {
    return (await this.status()).queue.length;
  }
  async idle() {
    const {in_flight, queue, deployments} = await this.status();
    return in_flight === 0 && queue.length === 0 && queue.bytes === 0 &&
        deployments.flatMap((deployment) => deployment.endpoints)
            .every((endpoint) => endpoint.in_flight === 0 && endpoint.load === 0);
  }
}

// For one test: an engine and its gateway, which end with it.
async function serve(t, {speed, ...options} = {}) {
  const engine = await Engine.start({speed});
  t.after(() => engine.stop());
  const gateway = await Gateway.start({a10: engine}, options);
  t.after(() => gateway.stop());
  return {engine, gateway};
}

const messages = [{role: 'user', content: 'How deep is the lake?'}];
// Options for a call whose answer ends by itself after so many tokens (one word each).
const tokens = (count) => ({headers: {'x-headrace-output-tokens': String(count)}});
const words = (text) => text.trim().split(/\s+/).length;

module.exports = {MODEL, Engine, Gateway, eventually, messages, serve, tokens, words};
