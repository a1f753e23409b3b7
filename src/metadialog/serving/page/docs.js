"use strict";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function kind(schema, schemas) {
  if (!schema) return "";
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => kind(one, schemas)))].join(" or ");
  if (schema.type === "array") return `list of ${kind(schema.items, schemas)}`;
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  return schema.const !== undefined ? JSON.stringify(schema.const) : schema.type || "";
}

function table(schema, schemas) {
  const made = element("table");
  const head = element("tr", "", element("th", "field"), element("th", "type"), element("th", "about"));
  made.append(element("thead", "", head), element("tbody"));
  for (const [name, field] of Object.entries(schema.properties || {})) {
    const required = (schema.required || []).includes(name) ? "" : ` (default ${JSON.stringify(field.default ?? null)})`;
    made.tBodies[0].append(element("tr", "", element("td", "", element("code", name)),
      element("td", kind(field, schemas)), element("td", (field.description || "") + required)));
  }
  return made;
}

async function show() {
  const found = await (await fetch("/openapi.json")).json();
  const schemas = found.components.schemas;
  for (const [path, methods] of Object.entries(found.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const section = element("section", "", element("h2", "", element("code", `${method.toUpperCase()} ${path}`)),
        element("p", operation.description));
      const body = operation.requestBody?.content?.["application/json"]?.schema?.$ref;
      if (body) section.append(element("p", `Body: ${body.split("/").pop()}`));
      const codes = Object.entries(operation.responses).map(([code, response]) => {
        const [content] = Object.values(response.content || {});
        return `${code} ${kind(content?.schema, schemas)}`.trim();
      });
      section.append(element("p", `Responses: ${codes.join(", ")}`));
      document.getElementById("operations").append(section);
    }
  }
  for (const [name, schema] of Object.entries(schemas)) {
    if (!schema.properties) continue;
    document.getElementById("operations").append(element("section", "", element("h2", name),
      element("p", schema.description || ""), table(schema, schemas)));
  }
}

show();
