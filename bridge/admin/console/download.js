// A file of the API, saved by the browser. It is fetched, not linked to, since a link carries no token.

import { button, h, say } from "./dom.js";
import { fetched } from "./api.js";
import { trouble } from "./parts.js";

// Gives the header fields of the answer. Throws a Problem.
async function saved(path, parameters, name) {
  const response = await fetched(path, parameters);
  const url = URL.createObjectURL(await response.blob());
  const link = h("a", { href: url, download: name, hidden: true });
  document.body.append(link);
  link.click();
  link.remove();
  // The browser reads the file from here after the click.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return response.headers;
}

// A button that saves a file. `parameters()` gives those of the moment; `done(headers)` the words for what was saved.
export function saver(label, path, name, parameters, done = () => `${name} was saved`) {
  const save = button(label, async () => {
    save.disabled = true;
    try {
      say(done(await saved(path, parameters(), name)));
    } catch (error) {
      if (error.status === undefined) throw error;
      if (error.status !== 401) document.querySelector(".top").after(trouble(error));
    } finally {
      save.disabled = false;
    }
  }, { class: "small" });
  return save;
}
