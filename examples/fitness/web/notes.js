// Notes with pictures: create, list, read, update, delete.

import { ask, call } from "./api.js";
import { byId, gone, make, onSubmit, say, when, wrong } from "./dom.js";

const MOST_BYTES = 5 * 1024 * 1024;
const [form, text, file, list, more] = ["write", "write-text", "write-picture", "notes-list", "notes-more"].map(byId);
let before = null; // where the next page begins

/** Fill the view, unless somebody is in the middle of changing a note. */
export async function show() {
  const page = await ask("GET", "/notes");
  if (list.querySelector("form") || byId("sure").open) return;
  list.replaceChildren(...page.data.map(card));
  turned(page);
}

/** Forget everything: somebody else may sign in next. */
export function clear() {
  list.replaceChildren();
  form.reset();
  byId("sure").close();
}

more.addEventListener("click", async () => {
  try {
    const page = await ask("GET", `/notes?before=${encodeURIComponent(before)}`);
    const cards = page.data.map(card);
    list.append(...cards);
    turned(page);
    cards[0]?.querySelector("button").focus();
  } catch (error) {
    if (!gone(error)) say(error.message);
  }
});

function turned(page) {
  before = page.before;
  more.hidden = before === null;
  byId("notes-none").hidden = list.childElementCount > 0;
}

onSubmit(form, async () => {
  if (!text.value.trim()) throw wrong(text, "Write something first");
  check(file);
  const note = await ask("POST", "/notes", { text: text.value });
  text.value = ""; // it is saved: if the picture is refused, sending again must not save it twice
  try {
    prepend(await withPicture(note, file));
  } catch (error) {
    if (!gone(error)) prepend(note);
    throw error;
  }
  form.reset();
  say("Note saved");
});

function prepend(note) {
  list.prepend(card(note));
  byId("notes-none").hidden = true;
}

/** Say before the upload what the server would say after it. The server checks all the same. */
function check(input) {
  if (input.files[0]?.size > MOST_BYTES) throw wrong(input, "The picture has more than 5 MB. Choose a smaller one");
}

async function withPicture(note, input) {
  if (!input.files[0]) return note;
  try {
    return await ask("PUT", `/notes/${note.id}/picture`, input.files[0]);
  } catch (error) {
    if (gone(error)) throw error;
    throw wrong(input, `The note is saved, but without the picture. ${error.message}`);
  }
}

function card(note) {
  const edit = make("button", { className: "quiet", type: "button" }, "Edit");
  const remove = make("button", { className: "quiet", type: "button" }, "Delete");
  const actions = make("span", { className: "actions" }, edit, remove);
  const said = make("p", { className: "note-text", dir: "auto" }, note.text);
  const body = make("div", { className: "note-body" }, said, make("footer", {}, when(note.created_at), actions));
  const item = make("li", { className: "card note" }, ...(note.picture ? [picture(note)] : []), body);
  for (const button of [edit, remove]) button.ariaLabel = `${button.textContent}: ${note.text.slice(0, 40)}`;
  edit.addEventListener("click", () => change(note, item));
  remove.addEventListener("click", () => askToDelete(note, item));
  return item;
}

/** A picture needs a token, so it is fetched by script and shown from memory, when it comes into sight. */
function picture(note) {
  const frame = make("div", { className: "frame" });
  new IntersectionObserver(async ([{ isIntersecting }], observer) => {
    if (!isIntersecting) return;
    observer.disconnect();
    try {
      const url = URL.createObjectURL(await (await call("GET", `/notes/${note.id}/picture`)).blob());
      const image = make("img", { src: url, alt: `Picture of the note: ${note.text.slice(0, 60)}` });
      image.addEventListener("load", () => URL.revokeObjectURL(url));
      frame.replaceWith(image);
    } catch {
      frame.replaceWith(make("p", { className: "note-body hint" }, "The picture could not be loaded."));
    }
  }, { rootMargin: "400px" }).observe(frame);
  return frame;
}

/** The note as a form, in its own place. */
function change(note, item) {
  const id = (what) => `${what}-${note.id}`;
  const words = make("textarea", { id: id("text"), value: note.text, dir: "auto", maxLength: 10000 });
  const other = make("input", { id: id("file"), type: "file", accept: file.accept });
  const without = make("input", { id: id("without"), type: "checkbox" });
  const error = make("p", { id: id("error"), className: "error", role: "alert" });
  for (const field of [words, other]) field.setAttribute("aria-describedby", error.id);
  const cancel = make("button", { type: "button", className: "secondary" }, "Cancel");
  const fields = [
    make("div", { className: "field" }, make("label", { htmlFor: words.id }, "Note"), words),
    make("div", { className: "field" }, make("label", { htmlFor: other.id }, note.picture ? "Another picture" : "Picture"), other),
    ...(note.picture ? [make("label", { className: "tick" }, without, "Remove the picture")] : []),
  ];
  const editor = make("form", { className: "note-body", noValidate: true }, ...fields, error,
    make("p", { className: "actions" }, make("button", {}, "Save"), cancel));
  const back = (shown) => {
    const fresh = card(shown);
    item.replaceWith(fresh);
    fresh.querySelector("button").focus();
  };
  cancel.addEventListener("click", () => back(note));
  onSubmit(editor, async () => {
    if (!words.value.trim()) throw wrong(words, "Write something first");
    check(other);
    let saved = note.text === words.value ? note : await ask("PUT", `/notes/${note.id}`, { text: words.value });
    if (other.files[0]) saved = await withPicture(saved, other);
    else if (without.checked) {
      await call("DELETE", `/notes/${note.id}/picture`);
      saved = { ...saved, picture: false };
    }
    back(saved);
    say("Note saved");
  });
  item.replaceChildren(editor);
  words.focus();
}

function askToDelete(note, item) {
  const sure = byId("sure");
  byId("sure-what").textContent = note.picture ? "It is gone for good, and its picture with it." : "It is gone for good.";
  byId("sure-no").onclick = () => sure.close();
  byId("sure-yes").onclick = async () => {
    sure.close();
    try {
      await call("DELETE", `/notes/${note.id}`);
      item.remove();
      byId("notes-none").hidden = list.childElementCount > 0;
      byId("notes-list-title").focus();
      say("Note deleted");
    } catch (error) {
      if (!gone(error)) say(error.message);
    }
  };
  sure.showModal();
}
