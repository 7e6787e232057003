// Checks a form before it is sent, by the constraints in its own inputs, and says what the server would say.
// The sentences come with the page (data-error-<code>); what has none is left to the server.

const points = (text) => [...text.normalize("NFC")].length;

const numberFault = (input, text) => {
  const whole = input.dataset.step !== "any";
  if (!(whole ? /^[+-]?\d+$/ : /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i).test(text)) return ["wrong-type"];
  const { min, max } = input.dataset;
  return (min && Number(text) < Number(min)) || (max && Number(text) > Number(max)) ? ["out-of-range"] : [];
};

const dateFault = (input) => {
  if (input.validity.badInput) return ["not-a-date", "wrong-type"];
  if (input.validity.rangeOverflow) return ["in-the-future", "out-of-range"];
  return input.validity.rangeUnderflow ? ["out-of-range", "not-a-date"] : [];
};

const isJson = (text) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

const textFault = (input, text) => {
  if ("json" in input.dataset) return isJson(text) ? [] : ["not-json"];
  if (input.dataset.matches) return text === document.getElementById(input.dataset.matches).value ? [] : ["mismatch"];
  const length = points(text);
  if (input.minLength > 0 && length < input.minLength) return ["too-short"];
  if (input.dataset.maxlength && length > Number(input.dataset.maxlength)) return ["too-long"];
  return input.type === "email" && input.validity.typeMismatch ? ["not-an-email", "wrong-type"] : [];
};

// The codes that may fit, best first.
const fault = (input) => {
  if (input.type === "checkbox") return input.required && !input.checked ? ["required"] : [];
  if (input.type === "date" && input.validity.badInput) return dateFault(input);
  const text = input.type === "password" ? input.value : input.value.trim();
  if (text === "") return input.required ? ["required", "too-short"] : [];
  if (input.type === "date") return dateFault(input);
  return "number" in input.dataset ? numberFault(input, text) : textFault(input, text);
};

const sentence = (input) => {
  const said = fault(input).map((code) => input.getAttribute(`data-error-${code}`));
  return said.find((text) => text !== null) ?? "";
};

const describe = (input, id, on) => {
  const ids = new Set((input.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean));
  ids[on ? "add" : "delete"](id);
  if (ids.size) input.setAttribute("aria-describedby", [...ids].join(" "));
  else input.removeAttribute("aria-describedby");
};

const mark = (input, text, prefix) => {
  const field = input.closest(".field");
  const id = `${input.id}-error`;
  field.querySelector(".error")?.remove();
  field.classList.toggle("wrong", text !== "");
  describe(input, id, text !== "");
  input.toggleAttribute("aria-invalid", false);
  if (text === "") return;
  input.setAttribute("aria-invalid", "true");
  const unseen = Object.assign(document.createElement("span"), { className: "unseen", textContent: `${prefix} ` });
  const line = Object.assign(document.createElement("p"), { className: "error", id });
  line.append(unseen, text);
  const before = [...field.children].filter((child) => child.matches("label, .hint:not([role])")).at(-1);
  before.after(line);
};

const summarise = (template, wrong) => {
  document.getElementById("error-summary")?.remove();
  const summary = template.content.cloneNode(true).firstElementChild;
  for (const [input, text] of wrong) {
    const link = Object.assign(document.createElement("a"), { href: `#${input.id}`, textContent: text });
    const item = document.createElement("li");
    item.append(link);
    summary.querySelector("ul").append(item);
  }
  document.getElementById("main").prepend(summary);
  const prefix = `${template.dataset.title} `;
  if (!document.title.startsWith(prefix)) document.title = prefix + document.title;
  summary.focus();
};

// The second half of a double click would throw away the answer to the first. The server does not depend on this.
const TWICE = 2000; // milliseconds
const sentAt = new WeakMap();

for (const form of document.querySelectorAll("form[data-checked]")) {
  form.addEventListener("submit", (event) => {
    const template = form.querySelector("template");
    const inputs = [...form.querySelectorAll(".field :is(input, textarea, select)")];
    const found = inputs.map((input) => [input, sentence(input)]);
    for (const [input, text] of found) mark(input, text, template.dataset.title);
    const wrong = found.filter(([, text]) => text !== "");
    if (wrong.length > 0) {
      event.preventDefault();
      summarise(template, wrong);
    } else if (event.timeStamp - (sentAt.get(form) ?? -Infinity) < TWICE) {
      event.preventDefault();
    } else {
      sentAt.set(form, event.timeStamp);
    }
  });
}

// A link of the summary goes into its field, not only to it.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.(".summary a");
  const input = link && document.getElementById(link.hash.slice(1));
  if (!input) return;
  event.preventDefault();
  input.closest(".field").scrollIntoView({ block: "center" });
  input.focus({ preventScroll: true });
});
