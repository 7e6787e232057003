// Sends on what was being sent when it had to be confirmed first. Without JavaScript its button does.

document.querySelector("form[data-continue]")?.requestSubmit();
