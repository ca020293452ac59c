// The AI SDK, asked as tests/compat/drivers asks every client: node ai_sdk.mjs URL MODEL…
import { readFileSync } from "node:fs";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, stepCountIs, streamText, tool } from "ai";

const [url, ...cuts] = process.argv.slice(2);
const PROMPT = "What is 2+2?";
const gateway = createOpenAICompatible({ name: "gateway", baseURL: `${url}/openai/v1`, includeUsage: true });
const ask = (model, more = {}) =>
  streamText({ model: gateway(model), prompt: PROMPT, maxRetries: 0, onError() {}, ...more });

async function failure(model) {
  const parts = [];
  for await (const part of ask(model).fullStream) parts.push(part);
  const error = parts.find((part) => part.type === "error")?.error;
  const reason = parts.at(-1).finishReason;
  return error && reason === "error" ? ["part `error`, `finishReason` too", error.message] : ["", ""];
}

const parameters = { type: "object", properties: { word: { type: "string" } }, required: ["word"] };
const lookUp = tool({
  inputSchema: jsonSchema(parameters),
  execute: ({ word }) => (word === PROMPT ? "forty-two" : `nothing is known about ${word}`),
});

const answer = ask("default");
const { inputTokens, outputTokens } = await answer.usage;
const errors = [];
for (const model of cuts) errors.push(await failure(model));
const seen = {
  version: JSON.parse(readFileSync("node_modules/ai/package.json", "utf8")).version,
  text: await answer.text,
  reasoning: await answer.reasoningText,
  reasoning_at: "reasoningText",
  errors,
  tools: await ask("mock-tools", { tools: { look_up: lookUp }, stopWhen: stepCountIs(3) }).text,
  calls_tools: true,
  usage: [inputTokens, outputTokens],
};
console.log(JSON.stringify(seen));
