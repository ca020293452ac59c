"use strict";
// Shows openapi.json: an operation a box, a schema a list of its fields.

let spec;

const resolve = (thing) =>
  thing?.$ref ? thing.$ref.slice(2).split("/").reduce((place, key) => place[key], spec) : thing;

function node(name, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children.filter(Boolean));
  return made;
}

// "a `b` c" with the marked words as code
function prose(text) {
  const parts = text.split("`").map((part, at) => (at % 2 ? node("code", { text: part }) : part));
  return node("p", {}, ...parts);
}

function kind(schema) {
  if (schema === false) return "refused";
  if (schema.$ref) return schema.$ref.split("/").pop();
  const options = schema.oneOf ?? schema.anyOf;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((each) => JSON.stringify(each)).join(", ");
  if (options && !schema.type) return options.map(kind).join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items ?? {})}`;
  const bounds = [schema.minimum, schema.maximum].filter((each) => each !== undefined).join(" to ");
  return [[schema.type ?? "anything"].flat().join(" or "), bounds].filter(Boolean).join(" ");
}

// The schemas that are worth a list of their own: those with fields.
const branches = (schema) => [schema, ...[schema.oneOf, schema.anyOf].flatMap((each) => each ?? []), schema.items]
  .filter((each) => each && each !== true);

function fields(schema, seen = []) {
  const list = node("dl");
  for (const branch of branches(schema)) {
    if (branch.$ref && seen.includes(branch.$ref)) continue;
    const path = branch.$ref ? [...seen, branch.$ref] : seen;
    const known = resolve(branch);
    for (const [name, field] of Object.entries(known.properties ?? {})) {
      if (field === false) continue;
      const term = node("dt", {}, node("code", { text: name }), " ");
      term.append(node("span", { class: "quiet", text: kind(field) + (known.required?.includes(name) ? ", required" : "") }));
      list.append(term);
      const told = field.description ?? resolve(field).description;
      const detail = node("dd", {}, told && prose(told));
      const inner = fields(field, path);
      if (inner.children.length) detail.append(inner);
      if (detail.childNodes.length) list.append(detail);
    }
    if (branch !== schema && !known.properties) list.append(...fields(known, path).children);
  }
  return list;
}

// What may be wider than the page scrolls by itself, with the keyboard too.
function sample(label, text) {
  return node("pre", { tabindex: "0", role: "region", "aria-label": label }, node("code", { text }));
}

const shown = (example) => (typeof example === "string" ? example.trim() : JSON.stringify(example, null, 2));

// Examples name the gateway's usual address; here they name the one this page came from.
const here = (command) => command.replaceAll("http://localhost:8080", new URL(".", location.href).href.replace(/\/$/, ""));

function response(status, given) {
  const { description, content = {}, headers = {} } = resolve(given);
  const box = node("dd", {}, prose(description));
  for (const [type, { schema, example }] of Object.entries(content)) {
    box.append(node("p", {}, node("code", { text: type }), ` ${kind(schema)}`));
    if (example !== undefined) box.append(sample(`Example, ${type}`, shown(example)));
    if (status === "200") box.append(fields(schema));
  }
  for (const [name, header] of Object.entries(headers)) {
    box.append(node("p", {}, node("code", { text: name }), ` ${resolve(header).description ?? kind(resolve(header).schema ?? {})}`));
  }
  return [node("dt", {}, node("code", { text: status })), box];
}

function operation(path, method, told) {
  const inside = node("div", { class: "inside" });
  if (told.description) inside.append(prose(told.description));
  for (const { source } of told["x-codeSamples"] ?? []) inside.append(sample("Command", here(source)));
  const parameters = (told.parameters ?? []).map(resolve);
  if (parameters.length) {
    inside.append(node("h3", { text: "Parameters" }));
    const list = node("dl");
    for (const each of parameters) {
      list.append(node("dt", {}, node("code", { text: each.name }), node("span", { class: "quiet", text: ` ${each.in}, ${kind(each.schema)}` })));
      list.append(node("dd", {}, prose(each.description ?? "")));
    }
    inside.append(list);
  }
  if (told.requestBody) {
    inside.append(node("h3", { text: "Body" }), fields(told.requestBody.content["application/json"].schema));
  }
  inside.append(node("h3", { text: "Answers" }));
  inside.append(node("dl", {}, ...Object.entries(told.responses).flatMap(([status, given]) => response(status, given))));
  const title = node("summary", {}, node("b", { text: method.toUpperCase() }), node("code", { text: path }));
  title.append(node("span", { class: "quiet", text: told.summary }));
  return node("details", {}, title, inside);
}

async function show() {
  const place = document.getElementById("operations");
  try {
    const answer = await fetch("openapi.json");
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    spec = await answer.json();
  } catch (error) {
    place.replaceChildren(prose(`The description of the API could not be loaded (${error.message}).`));
    return;
  }
  const made = spec.info.description.split("\n\n").map(prose);
  for (const { name } of spec.tags) {
    made.push(node("h2", { text: name }));
    for (const [path, methods] of Object.entries(spec.paths)) {
      for (const [method, told] of Object.entries(methods)) {
        if (told.tags.includes(name)) made.push(operation(path, method, told));
      }
    }
  }
  place.replaceChildren(...made);
}

show();
