// Runs chat requests through OpenAI's Node client. stdin: {"url", "requests": [{"max_retries", "helper", "body"}]}; with
// helper each is sent by `.stream()`, which puts the completion together.
// stdout: for each request the chunks or the completion it gave, and the error it threw.
import { readFileSync } from "node:fs";
import OpenAI from "openai";

const { url, requests } = JSON.parse(readFileSync(0, "utf8"));

function described(error) {
  const kinds = [];
  for (let kind = error; (kind = Object.getPrototypeOf(kind)); ) kinds.push(kind.constructor.name);
  const { status = null, code = null, param = null, message } = error;
  return { kinds, status, code, param, message };
}

async function outcome({ max_retries, helper, body }) {
  const client = new OpenAI({ baseURL: url, apiKey: "unused", maxRetries: max_retries, timeout: 10_000 });
  const told = { chunks: [], completion: null, error: null };
  try {
    if (helper) {
      told.completion = await client.chat.completions.stream(body).finalChatCompletion();
      return told;
    }
    const answer = await client.chat.completions.create(body);
    if (body.stream) for await (const chunk of answer) told.chunks.push(chunk);
    else told.completion = answer;
  } catch (error) {
    told.error = described(error);
  }
  return told;
}

const outcomes = [];
for (const request of requests) outcomes.push(await outcome(request));
console.log(JSON.stringify(outcomes));
