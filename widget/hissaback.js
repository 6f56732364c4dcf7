// <hissaback-offers>: a campaign's offers, and the shopper's rewards, on anybody's page.
//
//   <script src="https://hissaback.app/widget/hissaback.js" defer></script>
//   <hissaback-offers widget-id="00000000-0000-0000-0000-000000000005"></hissaback-offers>
//
// One file without dependencies or a build step; docs/widget.md is for whoever embeds it. What
// comes from the API is shown as text and never read as markup, so nothing here needs more of a
// content security policy than this script's own address and the API's.
(() => {
  "use strict";

  const NAME = "hissaback-offers";
  // The script may be on a page twice.
  if (customElements.get(NAME)) return;

  // The API is where this script came from, unless the element says otherwise.
  const HOME = document.currentScript?.src ? new URL(document.currentScript.src).origin : null;
  const ANSWER_TIMEOUT_MS = 10_000;
  // How long offers wait for a token, so that a click on one is the shopper's own.
  const TOKEN_PATIENCE_MS = 2_000;
  const REWARDS_PER_PAGE = 10;
  const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

  // --- what is said ------------------------------------------------------------------------------

  const TEXTS = {
    en: {
      offers: "Offers",
      loading: "Loading…",
      up_to: "Up to {reward} back",
      new_tab: "opens in a new tab",
      no_offers: "No offers at the moment. Please come back later.",
      offers_failed: "The offers can't be shown at the moment.",
      gone: "These offers aren't available any more.",
      slow: "That was a little fast. Please try again in a moment.",
      retry: "Try again",
      rewards: "Your rewards",
      no_rewards: "No rewards yet. What you buy through these offers shows up here.",
      sign_in: "Sign in to see your rewards",
      more: "Show more",
      purchased: "Bought on {date}",
      eta: "Payable from {date}",
      part_paid: "{amount} of it is paid",
      disclosure:
        "When you buy through these links, this page earns a commission and shares it with you.",
      verifying:
        "We're verifying your purchase, rewards usually confirm within 24–48h. " +
        "You'll be notified automatically.",
      pending: "Pending",
      confirmed: "Confirmed",
      paid: "Paid",
      rejected: "Rejected",
      reversed: "Reversed",
    },
    hi: {
      offers: "ऑफ़र",
      loading: "लोड हो रहा है…",
      up_to: "{reward} तक वापस पाएँ",
      new_tab: "नए टैब में खुलता है",
      no_offers: "अभी कोई ऑफ़र नहीं है। कृपया बाद में फिर देखें।",
      offers_failed: "ऑफ़र अभी नहीं दिखाए जा सकते।",
      gone: "ये ऑफ़र अब उपलब्ध नहीं हैं।",
      slow: "कृपया थोड़ी देर में फिर कोशिश करें।",
      retry: "फिर कोशिश करें",
      rewards: "आपके रिवॉर्ड",
      no_rewards: "अभी तक कोई रिवॉर्ड नहीं। इन ऑफ़र से की गई ख़रीदारी यहाँ दिखेगी।",
      sign_in: "अपने रिवॉर्ड देखने के लिए साइन इन करें",
      more: "और दिखाएँ",
      purchased: "{date} को ख़रीदा",
      eta: "{date} से देय",
      part_paid: "इसमें से {amount} का भुगतान हो चुका है",
      disclosure:
        "जब आप इन लिंक से ख़रीदते हैं, तो इस पेज को कमीशन मिलता है, जिसका एक हिस्सा आपको मिलता है।",
      verifying:
        "हम आपकी ख़रीदारी की पुष्टि कर रहे हैं; रिवॉर्ड आमतौर पर 24–48 घंटों में पक्के हो जाते हैं। " +
        "आपको अपने-आप सूचना मिल जाएगी।",
      pending: "लंबित",
      confirmed: "पक्का",
      paid: "भुगतान हो गया",
      rejected: "अस्वीकृत",
      reversed: "वापस लिया गया",
    },
    ar: {
      offers: "العروض",
      loading: "جارٍ التحميل…",
      up_to: "استرداد حتى {reward}",
      new_tab: "يُفتح في علامة تبويب جديدة",
      no_offers: "لا توجد عروض حاليًا. يُرجى العودة لاحقًا.",
      offers_failed: "يتعذّر عرض العروض حاليًا.",
      gone: "لم تعد هذه العروض متاحة.",
      slow: "يُرجى المحاولة مرة أخرى بعد قليل.",
      retry: "إعادة المحاولة",
      rewards: "مكافآتك",
      no_rewards: "لا توجد مكافآت بعد. ستظهر هنا مشترياتك عبر هذه العروض.",
      sign_in: "سجّل الدخول لعرض مكافآتك",
      more: "عرض المزيد",
      purchased: "تاريخ الشراء {date}",
      eta: "مستحقة الدفع من {date}",
      part_paid: "دُفع منها {amount}",
      disclosure: "عند الشراء عبر هذه الروابط تحصل هذه الصفحة على عمولة وتتقاسمها معك.",
      verifying:
        "نحن نتحقق من عملية الشراء، وعادةً ما تُؤكَّد المكافآت خلال 24–48 ساعة. سيصلك إشعار تلقائيًا.",
      pending: "قيد الانتظار",
      confirmed: "مؤكدة",
      paid: "مدفوعة",
      rejected: "مرفوضة",
      reversed: "ملغاة",
    },
  };
  const RIGHT_TO_LEFT = ["ar"];
  const STATUSES = ["pending", "confirmed", "paid", "rejected", "reversed"];

  // --- numbers, dates, addresses -----------------------------------------------------------------

  // A decimal number as the API writes it, in the way of a language, without going through a
  // floating-point number: the whole part is formatted as an integer of any size, and the digits
  // after the point take the place of the zeros that the format put there.
  const decimal = (language, text, options) => {
    const [, whole, fraction = ""] = /^(\d{1,18})(?:\.(\d{1,12}))?$/.exec(text) ?? [];
    if (whole === undefined) return null;
    const usual = new Intl.NumberFormat(language, options).resolvedOptions();
    const significant = fraction.replace(/0+$/, "");
    const places = Math.max(usual.minimumFractionDigits, significant.length);
    const format = new Intl.NumberFormat(language, {
      ...options,
      minimumFractionDigits: places,
      maximumFractionDigits: places,
    });
    const digits = new Intl.NumberFormat(language, { useGrouping: false });
    const shown = [...significant.padEnd(places, "0")].map((digit) => digits.format(BigInt(digit)));
    const parts = format.formatToParts(BigInt(whole));
    return parts.map((part) => (part.type === "fraction" ? shown.join("") : part.value)).join("");
  };

  const money = (language, amount, currency) => {
    try {
      return decimal(language, amount, { style: "currency", currency }) ?? "–";
    } catch {
      // Not a currency code.
      return "–";
    }
  };

  const percent = (language, value) =>
    decimal(language, value, { style: "unit", unit: "percent" }) ?? "–";

  const day = (language, time) => {
    const date = new Date(time);
    if (Number.isNaN(date.getTime())) return "–";
    return new Intl.DateTimeFormat(language, { dateStyle: "medium" }).format(date);
  };

  // An address that a link may have; null for scripts, data and the like.
  const address = (text) => {
    try {
      const url = new URL(text);
      return url.protocol === "https:" || url.protocol === "http:" ? url : null;
    } catch {
      return null;
    }
  };

  // Whose token it is. Nobody is believed because of it: only the API checks tokens.
  const shopperOf = (token) => {
    try {
      const claims = token.split(".")[1].replace(/-/g, "+").replace(/_/g, "/");
      const { sub } = JSON.parse(atob(claims));
      return UUID.test(sub) ? sub : null;
    } catch {
      return null;
    }
  };

  // --- how it looks ------------------------------------------------------------------------------

  const language = (value) => {
    try {
      return Intl.getCanonicalLocales(value)[0];
    } catch {
      return undefined;
    }
  };
  const oneOf = (...values) => (value) => (values.includes(value) ? value : undefined);
  const whole = (least, most) => (value) =>
    Number.isInteger(value) && least <= value && value <= most ? value : undefined;
  const matching = (pattern) => (value) =>
    typeof value === "string" && pattern.test(value) ? value : undefined;

  // What config_json may hold, and what of it can be used. It is somebody's input: an unknown key
  // or a value that can't be used is told on the console and counts for nothing.
  const CONFIGURATION = {
    theme: oneOf("light", "dark", "auto"),
    accent: matching(/^#[0-9a-f]{6}$/i),
    radius: whole(0, 24),
    language: (value) => (typeof value === "string" ? language(value) : undefined),
    columns: whole(1, 4),
    currency: matching(/^[A-Z]{3}$/),
    title: matching(/^.{1,80}$/u),
    offers_max: whole(1, 100),
    rewards: oneOf(true, false),
  };
  const DEFAULTS = { theme: "auto", radius: 8, columns: 3, offers_max: 100, rewards: true };

  const configured = (given) => {
    const config = { ...DEFAULTS };
    for (const [key, value] of Object.entries(given ?? {})) {
      const usable = Object.hasOwn(CONFIGURATION, key) ? CONFIGURATION[key](value) : undefined;
      if (usable === undefined) {
        const what = Object.hasOwn(CONFIGURATION, key) ? "can't use the value of" : "has no setting";
        console.warn(`${NAME}: config_json: the widget ${what} ${JSON.stringify(key)}: ignored`);
      } else {
        config[key] = usable;
      }
    }
    return config;
  };

  // Black or white, whichever is easier to read on a colour: at least 4.5:1 on any (WCAG 2.2).
  const readableOn = (colour) => {
    const [red, green, blue] = [1, 3, 5].map((at) => {
      const part = parseInt(colour.slice(at, at + 2), 16) / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    return (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) ? "#000000" : "#ffffff";
  };

  const DARK = `
    --surface: #17181c; --text: #f1f1f4; --muted: #b9bbc4; --line: #8b8e98; --shade: #2a2c33;
    --accent: var(--chosen, #a8c7fa); --on-accent: var(--on-chosen, #000000);
    color-scheme: dark;`;
  const STYLE = `
    :host { display: block; text-align: start; }
    :host([hidden]) { display: none; }
    .widget {
      --surface: #ffffff; --text: #1b1b1f; --muted: #55575e; --line: #75777f; --shade: #e4e4e9;
      --accent: var(--chosen, #0b57d0); --on-accent: var(--on-chosen, #ffffff);
      color-scheme: light;
      box-sizing: border-box; padding: 1rem; border-radius: var(--radius);
      background: var(--surface); color: var(--text);
      line-height: 1.5; overflow-wrap: anywhere;
    }
    .widget[data-theme="dark"] { ${DARK} }
    @media (prefers-color-scheme: dark) { .widget[data-theme="auto"] { ${DARK} } }
    h2 { margin: 0 0 0.75rem; font-size: 1.25rem; line-height: 1.3; }
    section + section { margin-block-start: 1.5rem; }
    p { margin: 0 0 0.75rem; }
    ul { margin: 0; padding: 0; list-style: none; display: grid; gap: 0.75rem; }
    ul.offers {
      --widest: calc((100% - (var(--columns) - 1) * 0.75rem) / var(--columns));
      grid-template-columns:
        repeat(auto-fill, minmax(min(100%, max(10rem, var(--widest))), 1fr));
    }
    .offer, .reward {
      box-sizing: border-box; block-size: 100%; padding: 0.75rem;
      border: 1px solid var(--line); border-radius: var(--radius); color: inherit;
    }
    .offer { display: flex; flex-direction: column; gap: 0.25rem; text-decoration: none; }
    .offer:hover .brand { text-decoration: underline; }
    .brand { font-weight: 600; }
    .muted { color: var(--muted); font-size: 0.875rem; }
    .badge, button {
      align-self: start; padding: 0.125rem 0.625rem; border-radius: var(--radius);
      background: var(--accent); color: var(--on-accent); font-weight: 600;
    }
    .offer .badge { margin-block-start: auto; }
    button { min-block-size: 2.75rem; padding-inline: 1rem; border: 0; font: inherit; cursor: pointer; }
    a:focus-visible, button:focus-visible, [tabindex]:focus-visible {
      outline: 3px solid var(--text); outline-offset: 2px;
    }
    .reward { display: grid; grid-template-columns: 1fr auto; gap: 0.25rem 1rem; }
    .reward .amount { font-weight: 600; text-align: end; font-variant-numeric: tabular-nums; }
    .reward .note { grid-column: 1 / -1; margin: 0; }
    .reward .status { text-align: end; }
    .more { margin-block-start: 0.75rem; }
    .bone { block-size: 5rem; border-radius: var(--radius); background: var(--shade); }
    .apart {
      position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden;
      clip-path: inset(50%); white-space: nowrap;
    }
    @media (prefers-reduced-motion: no-preference) {
      .bone { animation: breathe 1.2s ease-in-out infinite alternate; }
      @keyframes breathe { to { opacity: 0.45; } }
    }
    @media (forced-colors: active) { .badge, button, .bone { border: 1px solid; } }`;
  // Made by a script, so that no policy on inline styles stands in its way.
  const SHEET = new CSSStyleSheet();
  SHEET.replaceSync(STYLE);

  // An element with attributes and children; what isn't an element becomes text.
  const element = (name, attributes, ...children) => {
    const made = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
    made.append(...children);
    return made;
  };

  // Somebody's words, in whatever script they are, which don't turn those around them.
  const isolated = (text) => element("bdi", {}, text);

  // A part of the widget: its heading, what it says to screen readers meanwhile, and its content.
  const pane = (name) => {
    const heading = element("h2", { id: name, tabindex: "-1", part: "title" });
    const status = element("p", { class: "apart", role: "status" });
    const body = element("div", {});
    const labelled = { "aria-labelledby": name, part: name };
    const section = element("section", labelled, heading, status, body);
    return { section, heading, status, body, failed: false };
  };

  // --- asking the API ----------------------------------------------------------------------------

  // Why there is no answer: `refused` (401), `gone` (404), `slow` (429) or `down`.
  class Failure extends Error {
    constructor(kind, cause) {
      super(kind, { cause });
      this.kind = kind;
    }
  }
  const KINDS = { 401: "refused", 404: "gone", 429: "slow" };

  const ask = async (url, signal, token) => {
    const answer = new AbortController();
    const give_up = () => answer.abort();
    const timer = setTimeout(give_up, ANSWER_TIMEOUT_MS);
    signal.addEventListener("abort", give_up, { once: true });
    try {
      const response = await fetch(url, {
        credentials: "omit",
        headers: token ? { Authorization: `Bearer ${token}` } : {},
        signal: answer.signal,
      });
      if (!response.ok) throw new Failure(KINDS[response.status] ?? "down");
      return { body: await response.json(), next: response.headers.get("Next-Cursor") };
    } catch (error) {
      throw error instanceof Failure ? error : new Failure("down", error);
    } finally {
      clearTimeout(timer);
      signal.removeEventListener("abort", give_up);
    }
  };

  const listed = (list) => {
    if (!Array.isArray(list)) throw new Failure("down");
    return list;
  };

  // --- the element -------------------------------------------------------------------------------

  class HissabackOffers extends HTMLElement {
    static observedAttributes = ["widget-id", "api", "token"];

    // A token, or what fetches one; null where the page knows no shoppers.
    #token = null;
    // The token that is in use, promised, so that a page is asked for it once.
    #held = null;
    #config = DEFAULTS;
    #offers = pane("offers");
    #rewards = pane("rewards");
    #widget = element(
      "div",
      { class: "widget", part: "widget" },
      this.#offers.section,
      this.#rewards.section,
    );
    // The links that are shown, with their addresses as the API gave them.
    #links = new Map();
    // Whose token they name.
    #shopper = null;
    // What is under way, and what of it is the shopper's; null while on no page.
    #loading = null;
    #asking = null;

    constructor() {
      super();
      const shadow = this.attachShadow({ mode: "open" });
      shadow.adoptedStyleSheets = [SHEET];
      shadow.append(this.#widget);
    }

    connectedCallback() {
      // It may have been set before this script was there.
      if (Object.hasOwn(this, "token")) {
        const { token } = this;
        delete this.token;
        this.token = token;
      }
      this.#load();
    }

    disconnectedCallback() {
      this.#loading.abort();
      this.#loading = null;
      this.#asking = null;
    }

    attributeChangedCallback(name, before, after) {
      if (name === "token") {
        if (after !== null) console.error(`${NAME}: a token is a property, never an attribute`);
      } else if (before !== after) {
        this.refresh();
      }
    }

    // The shopper's access token; or a function that gives one or a promise of one, or null where
    // nobody is signed in. It is called with `{ refused: true }` once its last one was refused. It
    // can be set, and not read again.
    set token(token) {
      this.#token = token ?? null;
      this.#held = null;
      if (this.#asking) this.#showShopper();
    }

    // Asks for everything again.
    refresh() {
      if (this.#loading) this.#load();
    }

    // --- loading -----------------------------------------------------------------------------------

    async #load() {
      this.#loading?.abort();
      const { signal } = (this.#loading = new AbortController());
      this.#asking = null;
      this.#held = null;
      this.#dress();
      this.#wait(this.#offers);
      this.#rewards.section.hidden = true;
      // What failed for want of a network needn't be asked for by hand.
      window.addEventListener("online", () => this.#offers.failed && this.#load(), { signal });
      try {
        const url = this.#url(`/v1/widgets/${this.#id()}`);
        const [{ body }] = await Promise.all([ask(url, signal), this.#firstToken(signal)]);
        if (signal.aborted) return;
        const offers = listed(body.offers);
        this.#config = configured(body.config);
        this.#dress();
        this.#showOffers(offers);
      } catch (error) {
        if (!signal.aborted) this.#fail(this.#offers, error, "offers_failed", () => this.#load());
        return;
      }
      this.#showShopper();
    }

    #id() {
      const id = this.getAttribute("widget-id") ?? "";
      if (UUID.test(id)) return id;
      console.error(`${NAME}: the attribute widget-id has to be the id of a widget`);
      throw new Failure("gone");
    }

    #url(path) {
      const base = address(this.getAttribute("api") ?? HOME);
      if (base) return new URL(path, base);
      console.error(`${NAME}: the attribute api has to be the address of the API`);
      throw new Failure("gone");
    }

    async #heldToken(refused = false) {
      if (refused) this.#held = null;
      const source = this.#token;
      const fetched = async () => (typeof source === "function" ? source({ refused }) : source);
      const held = (this.#held ??= fetched());
      try {
        const token = await held;
        return typeof token === "string" && token !== "" ? token : null;
      } catch (error) {
        // The next time it is asked for anew.
        if (this.#held === held) this.#held = null;
        throw new Failure("down", error);
      }
    }

    // Waits a moment for the token, so that the links name the shopper from the start.
    async #firstToken(signal) {
      const patience = new Promise((resolve) => {
        const timer = setTimeout(resolve, TOKEN_PATIENCE_MS);
        signal.addEventListener("abort", () => resolve(clearTimeout(timer)), { once: true });
      });
      // What goes wrong is told when the token is used.
      const held = this.#heldToken().catch(() => null);
      const token = await Promise.race([held, patience]);
      if (!signal.aborted) this.#name(token);
    }

    // The shopper's part: their name on the links, and their rewards.
    async #showShopper() {
      this.#asking?.abort();
      const asking = (this.#asking = new AbortController());
      this.#loading.signal.addEventListener("abort", () => asking.abort(), { once: true });
      const known = this.#token !== null;
      this.#rewards.section.hidden = !known || !this.#config.rewards;
      if (known) this.#wait(this.#rewards);
      const first = this.#url(`/v1/rewards/user?limit=${REWARDS_PER_PAGE}`);
      await this.#addRewards(first, null, asking.signal);
    }

    // Adds the page of rewards at an address to a list of them; null for the first page.
    async #addRewards(url, list, signal) {
      try {
        const answer = await this.#askAsShopper(url, signal);
        if (!signal.aborted && answer) this.#showRewards(url, answer, list, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (error.kind === "refused") {
          this.#showSignIn();
        } else {
          this.#fail(this.#rewards, error, "verifying", () => this.#showShopper());
        }
      }
    }

    // Nothing, where rewards aren't shown.
    async #askAsShopper(url, signal, refused = false) {
      const token = await this.#heldToken(refused);
      if (signal.aborted) return null;
      this.#name(token);
      if (this.#rewards.section.hidden) return null;
      if (!token) throw new Failure("refused");
      try {
        return await ask(url, signal, token);
      } catch (error) {
        const last = refused || typeof this.#token !== "function";
        if (last || error.kind !== "refused" || signal.aborted) throw error;
        return this.#askAsShopper(url, signal, true);
      }
    }

    // --- showing -----------------------------------------------------------------------------------

    get #language() {
      const near = this.closest("[lang]")?.lang || navigator.language;
      return this.#config.language ?? language(near) ?? "en";
    }

    // The language that there are texts in.
    get #spoken() {
      const [spoken] = this.#language.split("-");
      return Object.hasOwn(TEXTS, spoken) ? spoken : "en";
    }

    #text(name, values = {}) {
      return TEXTS[this.#spoken][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
    }

    // As it is configured. The frame stays, and the focus in it.
    #dress() {
      const { theme, accent, radius, columns, title } = this.#config;
      this.#widget.lang = this.#spoken;
      this.#widget.dir = RIGHT_TO_LEFT.includes(this.#spoken) ? "rtl" : "ltr";
      this.#widget.dataset.theme = theme;
      const { style } = this.#widget;
      style.setProperty("--radius", `${radius}px`);
      style.setProperty("--columns", columns);
      for (const [name, colour] of [
        ["--chosen", accent],
        ["--on-chosen", accent && readableOn(accent)],
      ]) {
        if (colour) style.setProperty(name, colour);
        else style.removeProperty(name);
      }
      this.#offers.heading.replaceChildren(isolated(title ?? this.#text("offers")));
      this.#rewards.heading.replaceChildren(isolated(this.#text("rewards")));
    }

    #wait(pane) {
      pane.failed = false;
      pane.section.setAttribute("aria-busy", "true");
      pane.status.textContent = this.#text("loading");
      const bones = [0, 1, 2].map(() => element("li", { class: "bone" }));
      pane.body.replaceChildren(element("ul", { class: "offers", "aria-hidden": "true" }, ...bones));
    }

    #show(pane, ...children) {
      pane.section.setAttribute("aria-busy", "false");
      pane.status.textContent = "";
      pane.body.replaceChildren(...children);
    }

    // Says that something failed, and offers to try again where that can help.
    #fail(pane, error, text, retry) {
      const final = error.kind === "gone";
      const told = final || error.kind === "slow" ? error.kind : text;
      this.#show(pane, element("p", { role: "alert", part: "error" }, this.#text(told)));
      pane.failed = !final;
      if (final) return;
      const again = () => {
        pane.heading.focus();
        retry();
      };
      pane.body.append(this.#button("retry", again));
    }

    #button(text, act) {
      const button = element("button", { type: "button", part: `button ${text}` }, this.#text(text));
      button.addEventListener("click", act);
      return button;
    }

    #showOffers(offers) {
      const { currency, offers_max: most } = this.#config;
      this.#links.clear();
      const shown = offers
        .filter((offer) => !currency || offer.currency === currency)
        .flatMap((offer) => this.#offer(offer) ?? [])
        .slice(0, most);
      if (shown.length === 0) {
        this.#show(this.#offers, element("p", { part: "empty" }, this.#text("no_offers")));
        return;
      }
      const disclosure = { class: "muted", part: "disclosure" };
      this.#show(
        this.#offers,
        element("p", disclosure, this.#text("disclosure")),
        element("ul", { class: "offers", role: "list" }, ...shown),
      );
      this.#name(this.#shopper);
    }

    #offer(offer) {
      const url = address(offer.smart_link);
      if (!url) {
        console.warn(`${NAME}: offer ${offer.offer_id} has no usable address: not shown`);
        return null;
      }
      const link = element(
        "a",
        { class: "offer", part: "offer", target: "_blank", rel: "noopener nofollow sponsored" },
        element("span", { class: "brand" }, isolated(offer.brand)),
      );
      if (offer.category) {
        link.append(element("span", { class: "muted" }, isolated(offer.category)));
      }
      const reward = this.#reward(offer);
      if (reward) {
        const text = this.#text("up_to", { reward });
        link.append(element("span", { class: "badge", part: "reward" }, text));
      }
      link.append(element("span", { class: "apart" }, ` (${this.#text("new_tab")})`));
      link.addEventListener("click", () => this.#tell("hissaback-click", { offer_id: offer.offer_id }));
      this.#links.set(link, url);
      return element("li", {}, link);
    }

    #reward({ reward_pct: rate, reward_flat: flat, currency }) {
      if (typeof flat === "string") return money(this.#language, flat, currency);
      return typeof rate === "string" ? percent(this.#language, rate) : null;
    }

    // Names the shopper on every link, as `u`: whose click it is.
    #name(token) {
      this.#shopper = token;
      const shopper = token && shopperOf(token);
      for (const [link, url] of this.#links) {
        const named = new URL(url);
        if (shopper) named.searchParams.set("u", shopper);
        link.href = named.href;
      }
    }

    #showRewards(url, { body, next }, list, signal) {
      const items = listed(body).map((reward) => this.#rewardItem(reward));
      if (!list && items.length === 0) {
        this.#show(this.#rewards, element("p", { part: "empty" }, this.#text("no_rewards")));
        return;
      }
      const all = list ?? element("ul", { role: "list" });
      all.append(...items);
      this.#show(this.#rewards, all);
      // The button that was pressed is gone.
      if (list) items[0]?.focus();
      if (!next) return;
      const following = new URL(url);
      following.searchParams.set("cursor", next);
      const button = this.#button("more", () => {
        button.disabled = true;
        this.#rewards.status.textContent = this.#text("loading");
        this.#addRewards(following, all, signal);
      });
      button.classList.add("more");
      this.#rewards.body.append(button);
    }

    #rewardItem(reward) {
      const told = STATUSES.includes(reward.status) ? this.#text(reward.status) : reward.status;
      const amount = (value) => money(this.#language, value, reward.currency);
      const notes = [];
      if (reward.message) {
        // In the API's own words, where they are the page's language.
        notes.push(this.#spoken === "en" ? reward.message : this.#text("verifying"));
      }
      if (reward.eta) notes.push(this.#text("eta", { date: day(this.#language, reward.eta) }));
      if (reward.status === "confirmed" && /[1-9]/.test(reward.paid_amount)) {
        notes.push(this.#text("part_paid", { amount: amount(reward.paid_amount) }));
      }
      const purchased = this.#text("purchased", { date: day(this.#language, reward.purchased_at) });
      return element(
        "li",
        { class: "reward", part: "reward-item", tabindex: "-1" },
        element("span", { class: "brand" }, isolated(reward.brand ?? "")),
        element("span", { class: "amount" }, amount(reward.amount)),
        element("span", { class: "muted" }, purchased),
        element("span", { class: "muted status", part: "status" }, told),
        ...notes.map((note) => element("p", { class: "muted note" }, note)),
      );
    }

    #showSignIn() {
      this.#show(this.#rewards, this.#button("sign_in", () => this.#tell("hissaback-sign-in")));
    }

    #tell(event, detail) {
      this.dispatchEvent(new CustomEvent(event, { bubbles: true, composed: true, detail }));
    }
  }

  customElements.define(NAME, HissabackOffers);
})();
