// `mkdocs serve` 的页面上：待办的框点得动，有「放弃」「撤销」「写今天」。
// 只有 serve 给出的页才接上它；写盘都经过 `live.py` 那一条路由，做完由热加载刷新。
(() => {
  const nonce = document.querySelector("meta[name=rizhi-nonce]").content;
  const LAST = "rizhi-last"; // 这个标签页最近一次了结：{change, todo, mark, page, said, at}
  const NEW = "rizhi-new"; // 刚写好、还没有建好的今天：{page, from, at}
  const WARNED = "rizhi-warned"; // 服务器只说一次的话，按了「知道了」为止
  const SETTLED = { done: "x", drop: "-" };
  const BAR_MINUTES = 10; // 那一行已经不在这一页上的，「撤销」在页脚留这么久

  function make(tag, attributes, ...children) {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  }

  function button(className, textContent, ariaLabel, click) {
    const made = make("button", { type: "button", className, textContent, ariaLabel });
    made.addEventListener("click", click);
    return made;
  }

  function url(page) {
    const { base } = JSON.parse(document.getElementById("__config").textContent);
    return new URL(page, new URL(base.replace(/\/?$/, "/"), location.href)).href; // 404 页的 base 是 /
  }

  const recall = (key) => JSON.parse(sessionStorage.getItem(key));
  const remember = (key, value) => sessionStorage.setItem(key, JSON.stringify(value));
  const forget = (key) => sessionStorage.removeItem(key);

  function send(action, wanted, more) {
    const headers = { "Content-Type": "application/json", "X-Rizhi-Nonce": nonce };
    const request = { method: "POST", headers, body: JSON.stringify(wanted), ...more };
    return fetch(`/rizhi/live/${action}`, request);
  }

  // 做一件事；没有做成，回答里有 error，说为什么
  async function act(action, wanted) {
    try {
      // keepalive：恰好要刷新了，也送得到
      return await (await send(action, wanted, { keepalive: true })).json();
    } catch {
      return { error: "连不上 mkdocs serve：看看它是不是关掉了。" };
    }
  }

  // 一处没有回答，再点那一处不算；别处的照样送，服务器一件一件做
  async function alone(place, action, wanted) {
    if (place.ariaBusy === "true") return { error: "" };
    place.querySelectorAll(":scope > .rz-oops").forEach((old) => old.remove());
    place.ariaBusy = "true";
    const answer = await act(action, wanted);
    place.ariaBusy = "false";
    if (answer.error) complain(place, answer.error);
    if (answer.warnings?.length) remember(WARNED, [...(recall(WARNED) ?? []), ...answer.warnings]);
    warn();
    return answer;
  }

  // 旁边的一句会随刷新没了；这几句别处不再说，留到看过为止
  function warn() {
    document.querySelector(".rz-warned")?.remove();
    const lines = recall(WARNED)?.map((line) => make("p", { textContent: line }));
    if (!lines) return;
    const known = button("rz-known", "知道了", null, () => {
      forget(WARNED);
      warn();
    });
    document.body.append(make("div", { className: "rz-notice rz-warned", role: "alert" }, ...lines, known));
  }

  function complain(place, why) {
    const said = make("span", { className: "rz-oops", role: "alert", textContent: why });
    place.insertBefore(said, block(place));
  }

  // ---- 待办 ----
  const boxOf = (item) => item.querySelector(":scope > .task-list-indicator, :scope > p > .task-list-indicator");
  const same = (todo) => [...document.querySelectorAll(`li[data-todo="${todo}"]`)];

  // 一条自己的话到哪里为止：子条目、第二段之前
  function block(item) {
    const first = boxOf(item)?.parentNode ?? item;
    const from = first === item ? item.firstElementChild : first.nextElementSibling;
    for (let node = from; node; node = node.nextElementSibling) {
      if (node.matches("ul, ol, p, div, pre, table, blockquote, details")) return node;
    }
    return null;
  }

  function textOf(item) {
    const whole = item.querySelector(":scope > .rz-text");
    if (whole) return whole.textContent.trim();
    const copy = item.cloneNode(true);
    copy.querySelectorAll("ul, ol, .rz-acts, .rz-oops").forEach((node) => node.remove());
    return copy.textContent.trim().replace(/\s+/g, " ");
  }

  // 开着的一条：框换成按钮，旁边有「放弃」；了结了的，框不是按钮
  function dress(item) {
    const box = boxOf(item);
    if (!box || box.matches("button") || Object.values(SETTLED).includes(box.dataset.mark)) return;
    const text = textOf(item);
    const odd = box.dataset.mark === " " ? "" : `（${box.title}）`;
    const tick = button("task-list-indicator rz-tick", "", `${text}${odd}`, () => settle(item, "done"));
    tick.setAttribute("role", "checkbox");
    tick.ariaChecked = box.dataset.mark === "/" ? "mixed" : "false";
    tick.title = "点一下就完成";
    tick.dataset.mark = box.dataset.mark;
    tick.plain = box;
    box.replaceWith(tick);
    const drop = button("rz-drop", "放弃", `放弃：${text}`, () => settle(item, "drop"));
    drop.title = "不做了：记成 [-]";
    acts(item).append(drop);
  }

  function acts(item) {
    const old = item.querySelector(":scope > .rz-acts");
    if (old) return old;
    const made = make("span", { className: "rz-acts" });
    item.insertBefore(made, block(item));
    return made;
  }

  // 同一件事在这一页上的每一处，画成这个记号
  function show(todo, mark) {
    for (const item of same(todo)) {
      const box = boxOf(item);
      if (!box) continue;
      const settled = Object.values(SETTLED).includes(mark);
      if (settled && box.plain) box.replaceWith(box.plain);
      const shown = boxOf(item);
      shown.dataset.mark = mark;
      if (settled) {
        shown.ariaLabel = shown.title = mark === "x" ? "已完成" : "放弃";
        item.querySelector(":scope > .rz-acts")?.replaceChildren();
      } else dress(item);
    }
  }

  async function settle(item, action) {
    const { todo } = item.dataset;
    const tick = boxOf(item);
    const { mark } = tick.dataset;
    tick.dataset.mark = SETTLED[action];
    const answer = await alone(item, action, { todo });
    tick.dataset.mark = mark;
    if (answer.error !== undefined) return;
    show(todo, SETTLED[action]);
    if (recall(LAST)?.change > answer.change) return; // 后点的先有了回答：退得回的是它
    const page = location.pathname;
    const last = { change: answer.change, todo, mark, page, said: answer.said, at: Date.now() };
    remember(LAST, last);
    offer(last).focus({ preventScroll: true });
  }

  // 「撤销」在那一行旁边；那一行已经不在这一页上，就在页脚
  function offer(last) {
    document.querySelectorAll(".rz-undo, .rz-notice:not(.rz-warned)").forEach((old) => old.remove());
    const item = same(last.todo)[0];
    const take = button("rz-undo", "撤销", `撤销：${last.said}`, () => takeBack(last));
    if (item) acts(item).append(take);
    else {
      const said = make("span", { textContent: last.said });
      document.body.append(make("div", { className: "rz-notice", role: "status" }, said, take));
    }
    return take;
  }

  async function takeBack(last) {
    const take = document.querySelector(".rz-undo");
    const place = take.closest("li, .rz-notice");
    const answer = await alone(place, "undo", { change: last.change });
    if (answer.error !== undefined) return;
    forget(LAST);
    take.remove();
    if (place.matches(".rz-notice")) place.textContent = answer.said;
    show(last.todo, last.mark);
    place.querySelector(".rz-tick")?.focus({ preventScroll: true });
  }

  // 刷新之后：还退得回的，「撤销」仍在
  async function offerAgain() {
    const last = recall(LAST);
    if (!last) return;
    const gone = !same(last.todo).length;
    const old = Date.now() - last.at > BAR_MINUTES * 60e3;
    if (gone && (old || last.page !== location.pathname)) return;
    const { undoable, error } = await act("undoable", { change: last.change });
    if (undoable === false) forget(LAST);
    if (!undoable || error) return;
    const take = offer(last);
    const lost = document.activeElement === document.body; // 刷新之前，焦点在它上面
    if (lost && Date.now() - last.at < 20e3) take.focus({ preventScroll: true });
  }

  // ---- 写今天 ----
  function dressNew(place) {
    const write = button("md-button rz-write", "写今天", null, async () => {
      const answer = await alone(place, "new", {});
      if (answer.error !== undefined) return;
      const open = make("a", { href: url(answer.page), textContent: "打开它" });
      if (!answer.created) return place.replaceChildren(answer.said, open, "。");
      remember(NEW, { page: answer.page, from: location.pathname, at: Date.now() });
      place.replaceChildren(answer.said, "建好就打开……");
    });
    place.replaceChildren("今天还没有写。", write);
  }

  // 今天那一页建好了：首页上已经没有「写今天」
  function goNew() {
    const made = recall(NEW);
    if (!made || document.querySelector("[data-action=new]")) return;
    forget(NEW);
    if (made.from !== location.pathname) return; // 等不及走开了，不拽他回来
    if (Date.now() - made.at < 60e3) location.replace(url(made.page));
  }

  globalThis.rizhiLive = { act, button, make, send, url }; // 同处接上的别的脚本用

  // 等别的脚本数过字、排过版再装
  addEventListener("DOMContentLoaded", () => {
    goNew();
    document.querySelectorAll("[data-action=new]").forEach(dressNew);
    document.querySelectorAll("article li[data-todo]").forEach(dress);
    warn();
    offerAgain();
  });
})();
