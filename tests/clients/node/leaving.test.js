// Clients that go away: the engine's work and the place in the queue end at once.
'use strict';

const assert = require('node:assert/strict');
const {test} = require('node:test');
const OpenAI = require('openai');
const {MODEL, eventually, messages, serve, tokens, words} = require('./headrace.js');

const chat = (client, body = {}, options = {}) =>
    client.chat.completions.create({model: MODEL, messages, ...body}, options);
const longStream = (client) => chat(client, {stream: true}, tokens(2000));
// An engine as fast as life that takes one request at a time, and its gateway.
const serveSlowly = (t) => serve(t, {speed: 1, fits: 1});

async function leftNothing({engine, gateway}, cancelled) {
  await eventually(async () => await engine.running() === 0 && await gateway.idle());
  const counted = () => gateway.metric('headrace_requests_total', 'outcome="cancelled"');
  await eventually(async () => await counted() === cancelled);
}

test('stream that is left midway', async (t) => {
  const slow = await serveSlowly(t);
  for await (const _ of await longStream(slow.gateway.client())) {
    assert.equal(await slow.engine.running(), 1);
    assert.equal(await slow.gateway.running(), 1);
    break;  // Which aborts it.
  }
  await leftNothing(slow, 1);
});

test('stream that is aborted midway', async (t) => {
  const slow = await serveSlowly(t);
  const controller = new AbortController();
  const stream = await chat(slow.gateway.client(), {stream: true},
                            {...tokens(2000), signal: controller.signal});
  for await (const _ of stream) controller.abort();
  await leftNothing(slow, 1);
});

test('abort and time limit before the first byte', async (t) => {
  const slow = await serveSlowly(t);
  const controller = new AbortController();
  const asking = chat(slow.gateway.client(), {}, {...tokens(2000), signal: controller.signal});
  await eventually(async () => await slow.engine.running() === 1);
  controller.abort();
  await assert.rejects(asking, OpenAI.APIUserAbortError);
  await leftNothing(slow, 1);

  const hasty = slow.gateway.client({timeout: 2000});
  await assert.rejects(chat(hasty, {}, tokens(2000)), OpenAI.APIConnectionTimeoutError);
  await leftNothing(slow, 2);
});

test('abort and time limit in the queue', async (t) => {
  const slow = await serveSlowly(t);
  const {gateway} = slow;
  const running = await longStream(gateway.client());
  const controller = new AbortController();
  const {signal} = controller;
  const asking = [1, 2, 3, 4].map((i) => chat(gateway.client(), {stream: i % 2 === 0}, {signal}));
  const settled = Promise.allSettled(asking);
  await eventually(async () => await gateway.waiting() === 4);
  await assert.rejects(chat(gateway.client({timeout: 2000})), OpenAI.APIConnectionTimeoutError);
  await eventually(async () => await gateway.waiting() === 4);
  controller.abort();
  for (const {reason} of await settled) assert.ok(reason instanceof OpenAI.APIUserAbortError);
  await eventually(async () => await gateway.waiting() === 0);
  assert.equal(await gateway.running(), 1);
  running.controller.abort();
  await leftNothing(slow, 6);
});

test('place of one that leaves goes to the next', async (t) => {
  const {gateway} = await serveSlowly(t);
  const running = await longStream(gateway.client());
  const waiting = chat(gateway.client(), {}, tokens(4));
  await eventually(async () => await gateway.waiting() === 1);
  running.controller.abort();
  assert.equal(words((await waiting).choices[0].message.content), 4);
});

test('half of many leave', async (t) => {
  const fast = await serve(t, {speed: 20, fits: 20});
  const client = fast.gateway.client({timeout: 60_000});
  const answers = await Promise.all(Array.from({length: 100}, async (_, i) => {
    const stream = await chat(client, {stream: true}, tokens(i % 2 ? 40 : 2000));
    let text = '';
    for await (const chunk of stream) {
      text += chunk.choices[0].delta.content ?? '';
      if (i % 2 === 0) return null;
    }
    return words(text);
  }));
  assert.deepEqual(answers, answers.map((_, i) => i % 2 ? 40 : null));
  await leftNothing(fast, 50);
});
