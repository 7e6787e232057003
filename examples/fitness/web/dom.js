// Small help with elements. What people wrote becomes text here and nothing else: `append` and `textContent` know no
// markup. The page's policy (Trusted Types) forbids innerHTML and its like altogether.

export const byId = (id) => document.getElementById(id);

/** Make an element with properties and children; children that are strings become text. */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Say something to everybody, also to those who do not see the page. */
export function say(text) {
  const place = byId("said");
  clearTimeout(say.timer);
  place.textContent = ""; // or the same sentence twice would be heard once
  requestAnimationFrame(() => (place.textContent = text));
  say.timer = setTimeout(() => (place.textContent = ""), 6000);
}

/**
 * What happens when a form is sent: its button waits, and what went wrong stands in the form and is read out.
 *
 * @param {HTMLFormElement} form
 * @param {() => Promise<void>} work throws a sentence for people
 */
export function onSubmit(form, work) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    attempt(form, work);
  });
}

/** Whether something failed because it was given up: whoever asked is not here any more (see api.js). */
export const gone = (problem) => problem.name === "AbortError";

/** Do it, and show in `place` (which holds an element of class `error`) what went wrong. */
export async function attempt(place, work) {
  const buttons = place.querySelectorAll("button");
  const error = place.querySelector(".error");
  const fields = [...place.querySelectorAll("input, textarea")].filter((one) => one.matches(`[aria-describedby~="${error.id}"]`));
  for (const button of buttons) button.disabled = true;
  error.textContent = "";
  for (const field of fields) field.removeAttribute("aria-invalid");
  try {
    await work();
  } catch (problem) {
    if (gone(problem)) return;
    error.textContent = problem.message;
    const wrong = problem.field ?? (fields.length === 1 ? fields[0] : null);
    wrong?.setAttribute("aria-invalid", "true");
    wrong?.focus();
  } finally {
    for (const button of buttons) button.disabled = false;
  }
}

/** A sentence about one field. */
export const wrong = (field, text) => Object.assign(new Error(text), { field });

const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** A time as people read it. */
export const when = (ms) => make("time", { dateTime: new Date(ms).toISOString() }, whole.format(ms));
