// What goes wrong becomes the error that the official client has for it.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const OpenAI = require('openai');
const {MODEL, Engine, eventually, messages, serve, tokens} = require('./headrace.js');

const chat = (client, body = {}, options = {}) =>
    client.chat.completions.create({model: MODEL, messages, ...body}, options);
// Takes the engine until it is aborted, or a minute has passed.
const longStream = (client) => chat(client, {stream: true}, tokens(2000));

// --- Requests that are wrong

test('bad requests', async (t) => {
  const {gateway} = await serve(t);
  const client = gateway.client();
  const cases = [
    [{model: 5}, {}, 'model'],
    [{}, {headers: {'routing-strategy': 'fastest'}}, 'routing-strategy'],
    [{}, {headers: {'x-slo-ttft-ms': 'soon'}}, 'x-slo-ttft-ms'],
    [{max_tokens: 100_000}, {}, 'messages'],  // This one is the engine's.
  ];
  for (const [body, options, param] of cases) {
    await assert.rejects(chat(client, body, options), (error) => {
      assert.ok(error instanceof OpenAI.BadRequestError);
      assert.equal(error.type, 'invalid_request_error');
      return error.param === param;
    });
  }
});

test('unknown model and unknown call', async (t) => {
  const {gateway} = await serve(t);
  const client = gateway.client();
  await assert.rejects(chat(client, {model: 'gpt-9'}), (error) => {
    assert.ok(error instanceof OpenAI.NotFoundError);
    return error.code === 'model_not_found' && error.message.includes('gpt-9');
  });
  await assert.rejects(client.moderations.create({input: 'lake'}), OpenAI.NotFoundError);
});

test('request that is too large', async (t) => {
  const {gateway} = await serve(t, {limits: {body: '64KiB'}});
  const client = gateway.client();
  const content = 'lake '.repeat(400_000);
  await assert.rejects(chat(client, {messages: [{role: 'user', content}]}), (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    return error.status === 413 && error.code === 'request_too_large';
  });
  // The client goes on with another connection.
  assert.equal((await chat(client, {max_tokens: 2})).usage.completion_tokens, 2);
});

// --- Requests that are refused

test('SLO that no GPU can meet is refused without a retry', async (t) => {
  const {gateway} = await serve(t);
  const client = gateway.client({maxRetries: 3});
  await assert.rejects(chat(client, {}, {headers: {'x-slo-e2e-ms': '1'}}), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    assert.equal(error.headers.get('x-should-retry'), 'false');
    return error.code === 'slo_unattainable';
  });
  assert.equal(await gateway.metric('headrace_refused_total'), 1);
  // The same request with a looser one is served.
  await chat(client, {max_tokens: 2}, {headers: {'x-slo-e2e-ms': '5000'}});
});

test('SLO that waiting makes unattainable', async (t) => {
  const {gateway} = await serve(t, {speed: 1, fits: 1});
  const client = gateway.client();
  const stream = await longStream(client);
  await assert.rejects(chat(client, {}, {headers: {'x-slo-e2e-ms': '1200'}}), (error) => {
    assert.ok(error instanceof OpenAI.RateLimitError);
    return error.code === 'slo_deadline';
  });
  stream.controller.abort();
});

test('full queue and a retry when the gateway says', async (t) => {
  const {gateway} = await serve(t, {speed: 2, fits: 1, model: {queue: {max_length: 1}}});
  const client = gateway.client();
  const running = await longStream(client);
  const waiting = chat(client, {}, tokens(2));
  await eventually(async () => await gateway.waiting() === 1);
  const refusal = await chat(client).catch((error) => error);
  assert.ok(refusal instanceof OpenAI.RateLimitError);
  assert.equal(refusal.code, 'queue_full');
  const pause = Number(refusal.headers.get('retry-after'));
  assert.ok(pause >= 1);

  const begin = Date.now();
  const retrying = chat(gateway.client({maxRetries: 2}), {}, tokens(3));
  const refused = () => gateway.metric('headrace_refused_total', 'reason="queue_full"');
  await eventually(async () => await refused() === 2);
  running.controller.abort();
  assert.equal((await retrying).usage.completion_tokens, 3);
  // Left to itself, the client tries again after half a second. Its timer may be 1 ms early.
  assert.ok(Date.now() - begin >= pause * 1000 - 1);
  await waiting;
});

test('no endpoint and retries until there is one', async (t) => {
  const {engine, gateway} = await serve(t);
  await engine.stop();
  await eventually(async () => !(await gateway.status()).deployments[0].endpoints[0].up);
  await assert.rejects(chat(gateway.client()), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    return error.status === 503 && error.code === 'no_endpoint';
  });

  const retrying = chat(gateway.client({maxRetries: 5}), {}, tokens(3));
  const refused = () => gateway.metric('headrace_refused_total', 'reason="no_endpoint"');
  await eventually(async () => await refused() >= 2);
  const again = await Engine.start({address: engine.address});
  t.after(() => again.stop());
  assert.equal((await retrying).usage.completion_tokens, 3);
});

// --- Engines that fail

test('engine that dies before its answer', async (t) => {
  const {engine, gateway} = await serve(t, {speed: 1});
  const asking = chat(gateway.client(), {}, tokens(2000)).catch((error) => error);
  await eventually(async () => await engine.running() === 1);
  await engine.stop('SIGKILL');
  const error = await asking;
  assert.ok(error instanceof OpenAI.InternalServerError);
  assert.equal(error.status, 502);
  assert.ok(error.message.includes(engine.address));
  await eventually(() => gateway.idle());
});

test('engine that dies in mid-stream', async (t) => {
  const {engine, gateway} = await serve(t, {speed: 1});
  const stream = await longStream(gateway.client());
  await assert.rejects(async () => {
    for await (const _ of stream) await engine.stop('SIGKILL');
  }, (error) => {
    assert.ok(error instanceof OpenAI.APIError);
    return error.message.includes(engine.address);
  });
  await eventually(() => gateway.idle());
});

test("gateway's own time limit", async (t) => {
  const {engine, gateway} = await serve(t, {speed: 1, timeouts: {request: '300ms'}});
  await assert.rejects(chat(gateway.client(), {}, tokens(2000)), (error) => {
    assert.ok(error instanceof OpenAI.InternalServerError);
    return error.status === 504;
  });
  await eventually(async () => await gateway.idle() && await engine.running() === 0);
});
