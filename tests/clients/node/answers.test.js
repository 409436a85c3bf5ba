// Every call that Headrace serves, as the official client makes it.
'use strict';

const assert = require('node:assert/strict');
const {after, before, test} = require('node:test');
const {MODEL, Engine, Gateway, eventually, messages, tokens, words} = require('./headrace.js');

// Shared by all tests of this file: when they are done, nothing of them may be left in it.
const engines = {};
let gateway;
let client;

before(async () => {
  engines.a10 = await Engine.start({gpu: 'a10'});
  engines.l20 = await Engine.start({gpu: 'l20'});
  gateway = await Gateway.start(engines);
  client = gateway.client();
});

after(async () => {
  try {
    await eventually(() => gateway.idle());
    for (const engine of Object.values(engines)) {
      await eventually(async () => await engine.running() === 0);
    }
  } finally {
    await gateway?.stop();
    for (const engine of Object.values(engines)) await engine.stop();
  }
});

async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}

test('models', async () => {
  assert.deepEqual((await all(client.models.list())).map(({id}) => id), [MODEL]);
});

test('chat', async () => {
  const {data, response} =
      await client.chat.completions.create({model: MODEL, messages}, tokens(12)).withResponse();
  const [choice] = data.choices;
  assert.equal(words(choice.message.content), 12);
  assert.equal(choice.finish_reason, 'stop');
  assert.equal(data.usage.completion_tokens, 12);
  assert.equal(response.headers.get('routing-strategy'), 'slo');
  assert.match(response.headers.get('target-deployment'), /a10|l20/);
  assert.ok(response.headers.get('request-id'));
});

test('chat is cut at max_tokens', async () => {
  const {choices: [choice]} =
      await client.chat.completions.create({model: MODEL, messages, max_tokens: 5}, tokens(100));
  assert.equal(choice.finish_reason, 'length');
  assert.equal(words(choice.message.content), 5);
});

test('chat streamed', async () => {
  const stream =
      await client.chat.completions.create({model: MODEL, messages, stream: true}, tokens(12));
  const chunks = await all(stream);
  assert.ok(chunks.every(({usage, choices}) => !usage && choices.length === 1),
            'there is no usage that the client did not ask for');
  assert.equal(words(chunks.map(({choices}) => choices[0].delta.content ?? '').join('')), 12);
  assert.equal(chunks.at(-1).choices[0].finish_reason, 'stop');
});

test('chat streamed with usage', async () => {
  const stream = await client.chat.completions.create(
      {model: MODEL, messages, stream: true, stream_options: {include_usage: true}}, tokens(12));
  const chunks = await all(stream);
  assert.deepEqual(chunks.at(-1).choices, []);
  assert.equal(chunks.at(-1).usage.completion_tokens, 12);
  assert.ok(chunks.slice(0, -1).every(({usage}) => !usage));
});

test('chat stream that the client puts together', async () => {
  const stream = client.chat.completions.stream({model: MODEL, messages}, tokens(12));
  assert.equal(words(await stream.finalContent()), 12);
});

test('long prompt arrives as it is', async () => {
  // Two, three and four bytes of UTF-8 a character; the engine counts a token for each 4 bytes.
  const content = 'Größe 湖 🐟 \\ " \n'.repeat(500);
  const {usage} = await client.chat.completions.create(
      {model: MODEL, messages: [{role: 'user', content}]}, tokens(2));
  assert.equal(usage.prompt_tokens, 4 + Math.ceil(Buffer.byteLength(content) / 4));
});

test('completion', async () => {
  const answer = await client.completions.create({model: MODEL, prompt: 'The lake is'}, tokens(7));
  assert.equal(words(answer.choices[0].text), 7);
  assert.equal(answer.usage.completion_tokens, 7);
});

test('completion streamed', async () => {
  const stream = await client.completions.create(
      {model: MODEL, prompt: 'The lake is', stream: true}, tokens(7));
  const chunks = await all(stream);
  assert.equal(words(chunks.map(({choices}) => choices[0].text).join('')), 7);
});

test('embeddings', async () => {
  const input = ['The lake is deep.', 'The river is wide.'];
  // The client asks for base64 unless told otherwise.
  const packed = await client.embeddings.create({model: MODEL, input});
  const plain = await client.embeddings.create({model: MODEL, input, encoding_format: 'float'});
  assert.deepEqual(packed.data.map(({index}) => index), [0, 1]);
  packed.data.forEach(({embedding}, i) => embedding.forEach((value, j) => {
    assert.ok(Math.abs(value - plain.data[i].embedding[j]) < 1e-5);
  }));
  assert.equal(packed.usage.prompt_tokens, 10);
});

test('response', async () => {
  const answer = await client.responses.create({model: MODEL, input: 'How deep?'}, tokens(9));
  assert.equal(answer.status, 'completed');
  assert.equal(words(answer.output_text), 9);
  assert.equal(answer.usage.output_tokens, 9);
});

test('response streamed', async () => {
  const stream = await client.responses.create(
      {model: MODEL, input: 'How deep?', stream: true}, tokens(9));
  const events = await all(stream);
  assert.equal(events[0].type, 'response.created');
  assert.equal(events.at(-1).type, 'response.completed');
  const deltas = events.filter(({type}) => type === 'response.output_text.delta');
  assert.equal(words(deltas.map(({delta}) => delta).join('')), 9);
  assert.equal(events.at(-1).response.usage.output_tokens, 9);
});

test('policy of the request', async () => {
  for (const policy of ['least-request', 'round-robin', 'slo-pack-load', 'random']) {
    const {response} = await client.chat.completions.create(
        {model: MODEL, messages, max_tokens: 2}, {headers: {'routing-strategy': policy}})
            .withResponse();
    assert.equal(response.headers.get('routing-strategy'), policy);
  }
});

test('many streams at once', async () => {
  // More than the fleet takes at a time: the rest waits its turn, and nobody gets another's text.
  const counts = Array.from({length: 200}, (_, i) => 1 + i % 50);
  const patient = gateway.client({timeout: 60_000});
  const answers = await Promise.all(counts.map(async (count) => {
    const stream = await patient.chat.completions.create(
        {model: MODEL, messages, stream: true, stream_options: {include_usage: true}},
        tokens(count));
    const chunks = await all(stream);
    const text = chunks.map(({choices}) => choices[0]?.delta.content ?? '').join('');
    return [words(text), chunks.at(-1).usage.completion_tokens];
  }));
  assert.deepEqual(answers, counts.map((count) => [count, count]));
});
