// Logging in: with a role's name and password, or by a link that holds a session and works once.

import { html, useEffect, useRef, useState } from "../lib/html.js";
import { ApiError, logIn, login, recognise } from "../lib/api.js";
import { href, replaceBy, route } from "../lib/route.js";

/** `isOver`: beside what was on the screen when the session ended. */
export function LoginForm({ isOver = false }) {
  const [state, setState] = useState({ isBusy: false, error: "" });
  const name = useRef();
  useEffect(() => name.current.focus(), []);

  const onSubmit = async (event) => {
    event.preventDefault();
    const form = Object.fromEntries(new FormData(event.currentTarget));
    setState({ isBusy: true, error: "" });
    const error = await failureOf(logIn(form));
    setState({ isBusy: false, error });
  };

  return html`<form class="login" onSubmit=${onSubmit}>
    ${isOver && html`<p>Your session has ended. Log in again to go on; what is on the screen stays.</p>`}
    <label class="field"><span>PostgreSQL role</span>
      <input ref=${name} name="username" autofocus autocomplete="username" autocapitalize="none" spellcheck="false" required /></label>
    <label class="field"><span>Password</span>
      <input name="password" type="password" autocomplete="current-password" required /></label>
    <p class="bad" role="alert">${state.error || login.value.reason || ""}</p>
    <button class="primary" disabled=${state.isBusy}>${state.isBusy ? "Logging in…" : "Log in"}</button>
  </form>`;
}

/** The whole page, while nobody is logged in. */
export function LoginPage() {
  const { parts, params } = route.value;
  const token = parts[0] === "login" ? params.session : undefined;
  useEffect(() => {
    if (token) followLink(token);
    else if (parts[0] === "login") {
      replaceBy(["overview"]);
      recognise();
    }
  }, [token]);

  return html`<main class="door">
    <section class="card">
      <h1><img src=${new URL("../icon.svg", import.meta.url).pathname} alt="" width="36" height="36" /> Rangeland</h1>
      <p class="quiet">${location.host}</p>
      ${token ? html`<p>Logging in by the link…</p>` : html`<${LoginForm} />`}
      <p class="quiet">With a role that is a member of <code>admin</code> or <code>pg_monitor</code>. Without a primary, on a
        node's host: <code>rangeland auth-session login USER</code>.</p>
    </section>
  </main>`;
}

/** Take the session out of the address at once: a link works once, and shall not stay in the history. */
async function followLink(token) {
  history.replaceState(null, "", href(["overview"]));
  const reason = await failureOf(logIn({ session: token }), "This link has been used, or is too old. Log in with your password.");
  if (reason) login.value = { state: "out", me: null, reason };
  replaceBy(["overview"]);
}

const NO_ACCOUNT = "This name and password don't match any account, or the account may not log in.";

/** What to show of a failed login, `refused` where it was refused; "" where it succeeded. */
async function failureOf(promise, refused = NO_ACCOUNT) {
  try {
    await promise;
    return "";
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    return error.status === 401 ? refused : error.message;
  }
}
