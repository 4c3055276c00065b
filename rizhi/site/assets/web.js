// 页面上的小动作：待办过滤、长文收起、热力图、悬停预览、键盘。没有它，一切照样可读。
(() => {
  const root = new URL("..", document.currentScript.src).href; // 这个脚本在 assets/ 里
  const here = location.href.split(/[?#]/)[0];

  function make(tag, attributes, ...children) {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  }

  // 数据用 <script> 取，file:// 下也能用。一个文件只要一次：没有的文件浏览器会在控制台报错，
  // 报过一次就不再试。
  const asked = new Map();
  function load(path) {
    if (!asked.has(path)) {
      const loaded = new Promise((done) => {
        const src = root + path;
        document.head.append(
          make("script", { src, onload: () => done(true), onerror: () => done(false) }),
        );
      });
      asked.set(path, loaded);
    }
    return asked.get(path);
  }

  // ---- 待办过滤 ----
  const KINDS = [
    ["全部", () => true],
    ["有期限", (item) => Boolean(item.dataset.due)],
    ["已逾期", (item) => item.dataset.late === "1"],
    ["顺延三次以上", (item) => Number(item.dataset.carried) >= 3],
  ];

  function addFilter() {
    const groups = [...document.querySelectorAll("article ul.rz-todos")];
    const items = groups.flatMap((group) => [...group.children]);
    if (!items.length) return;
    const words = new Map(items.map((item) => [item, fold(item.textContent)]));
    const hints = new Map(groups.map((group) => [group, addHint(group)]));
    const input = make("input", { type: "search", placeholder: "在待办里找", ariaLabel: "在待办里找" });
    const count = make("output", { className: "rz-count" });
    const buttons = KINDS.map(([name]) =>
      make("button", { type: "button", textContent: name, ariaPressed: "false" }),
    );
    // 刷新（serve 时存一次盘、点一个框就刷新）、退回来，筛的还是那些；另开一页从头来
    let { chosen, text } = history.state?.filter ?? { chosen: 0, text: "" };
    input.value = text;

    function apply() {
      history.replaceState({ ...history.state, filter: { chosen, text } }, "");
      const wanted = fold(text).split(/\s+/).filter(Boolean);
      const left = { open: 0, ended: 0 };
      for (const item of items) {
        const whole = words.get(item);
        item.hidden = !(KINDS[chosen][1](item) && wanted.every((word) => whole.includes(word)));
        if (!item.hidden) left[item.dataset.state === "open" ? "open" : "ended"] += 1;
      }
      for (const [group, hint] of hints) {
        hint.hidden = group.querySelector(".rz-todo:not([hidden])") !== null;
      }
      buttons.forEach((button, i) => (button.ariaPressed = String(i === chosen)));
      count.textContent = `开着 ${left.open} 件` + (left.ended ? `，了结 ${left.ended} 件` : "");
    }

    buttons.forEach((button, i) =>
      button.addEventListener("click", () => {
        chosen = i;
        apply();
      }),
    );
    function typed() {
      text = input.value;
      apply();
    }

    // 拼音还没上屏时不过滤，不然列表会跟着字母闪
    input.addEventListener("input", (event) => event.isComposing || typed());
    input.addEventListener("compositionend", typed);
    const bar = make("div", { className: "rz-filter" }, input, ...buttons, count);
    document.querySelector("article h2").before(bar);
    apply();
    return apply;
  }

  // 逾期与否要看读的这一天，不看建站的那一天；搁到的那天不是期限
  async function markLate() {
    const dated = document.querySelectorAll(
      ".rz-todo[data-state=open][data-due]:not([data-parked])",
    );
    const now = dated.length ? await today() : "";
    for (const item of dated) if (item.dataset.due < now) item.dataset.late = "1";
  }

  function addHint(group) {
    const hint = make("p", { className: "rz-none", textContent: "这一组没有符合的。", hidden: true });
    group.after(hint);
    return hint;
  }

  function fold(text) {
    return text.normalize("NFKC").toLowerCase();
  }

  // ---- 长文收起：按字数挑出可疑的，再看是不是真的超出了三行 ----
  function foldLong() {
    const parts = document.querySelectorAll(
      "article span.rz-text, article .rz-list .rz-dim, article .rz-list > li > a",
    );
    const long = [...parts].filter((part) => part.textContent.length > 100);
    long.forEach((part) => part.classList.add("rz-clamp"));
    const short = long.filter((part) => part.scrollHeight <= part.clientHeight + 1);
    short.forEach((part) => part.classList.remove("rz-clamp"));
    long.filter((part) => part.classList.contains("rz-clamp")).forEach(addMore);
  }

  function addMore(part) {
    const more = make("button", { type: "button", className: "rz-more", textContent: "展开" });
    more.ariaExpanded = "false";
    more.addEventListener("click", () => {
      const folded = part.classList.toggle("rz-clamp");
      more.textContent = folded ? "展开" : "收起";
      more.ariaExpanded = String(!folded);
    });
    part.after(more);
  }

  // ---- 热力图：月份标由格子自己的日期得出 ----
  function dressHeat(heat) {
    let last = "";
    for (const week of heat.querySelectorAll(".rz-week")) {
      const day = week.querySelector("[title]")?.title.slice(0, 10);
      if (!day || day.slice(0, 7) === last) continue;
      // 头一列若只剩月尾，下一列就是新的月，两个标会叠在一起
      if (last || day.slice(8) <= "14") week.dataset.month = `${Number(day.slice(5, 7))} 月`;
      last = day.slice(0, 7);
    }
  }

  // ---- 先修图：指着、走到一篇，它的前序与后继亮起 ----
  function dressGraph(graph) {
    const nodes = [...graph.querySelectorAll("a")];
    const edges = [...graph.querySelectorAll("path")].map((path) => [
      path,
      ...path.dataset.edge.split(" ").map(Number),
    ]);

    function reach(start, from, to) {
      const found = new Set([start]); // 走到哪里加到哪里，后加的也会走到
      for (const node of found) for (const edge of edges) if (edge[from] === node) found.add(edge[to]);
      return found;
    }

    function light(node) {
      const at = nodes.indexOf(node);
      const [before, after] = [reach(at, 2, 1), reach(at, 1, 2)];
      graph.classList.toggle("rz-lit", at >= 0);
      nodes.forEach((one, i) => one.classList.toggle("rz-on", before.has(i) || after.has(i)));
      for (const [path, above, below] of edges) {
        path.classList.toggle("rz-on", before.has(below) || after.has(above));
      }
    }

    graph.addEventListener("pointerover", (event) => light(event.target.closest("a")));
    graph.addEventListener("pointerleave", () => light(null));
    graph.addEventListener("focusin", (event) => light(event.target));
    graph.addEventListener("focusout", () => light(null));
  }

  // ---- 悬停预览 ----
  const previews = new Map();
  window.rizhiPreview = (data) => previews.set(data.url, data);
  let shown = null; // {link, line, byKey, timer, card}：正在看的那一处

  function noteOf(link) {
    const url = link.href.split(/[?#]/)[0];
    if (!url.startsWith(root) || url === here) return null;
    const found = url.slice(root.length).match(/^notes\/([^/]+\/(?!index\.)[^/]+)\.html$/);
    return found && found[1];
  }

  function aim(link, byKey, y) {
    if (shown?.link === link) return;
    hide();
    const note = link && noteOf(link);
    if (!note) return;
    const rects = [...link.getClientRects()]; // 折了行的链接：靠着鼠标所在的那一行
    const line = Math.max(0, rects.findIndex((rect) => y <= rect.bottom));
    shown = { link, line, byKey };
    shown.timer = setTimeout(show, 150, shown, note);
  }

  async function show(spot, note) {
    const loaded = await load(`previews/${note}.js`);
    const data = previews.get(decodeURI(`notes/${note}.html`));
    if (!loaded || !data || shown !== spot) return; // 等的时候已经移开了
    spot.card = make("div", { id: "rz-preview", className: "rz-preview", role: "tooltip" });
    spot.card.append(make("strong", { textContent: data.title }));
    if (data.brief) spot.card.append(make("p", { textContent: data.brief }));
    if (data.figure) {
      const image = make("img", { alt: "", className: "rz-figure", onload: place });
      image.onerror = () => image.remove();
      image.src = new URL(data.figure, root).href;
      spot.card.append(image);
    }
    document.body.append(spot.card);
    spot.link.setAttribute("aria-describedby", "rz-preview");
    place();
  }

  function place() {
    if (!shown?.card) return;
    const { link, line, card } = shown;
    const rects = link.getClientRects();
    const rect = rects[line] ?? rects[0];
    const { offsetWidth: width, offsetHeight: height } = card;
    if (!rect || rect.bottom < 0 || rect.top > innerHeight) return hide();
    const below = rect.bottom + 8;
    const fits = below + height <= innerHeight || rect.top < height + 16;
    card.style.top = `${fits ? below : rect.top - height - 8}px`;
    const right = document.documentElement.clientWidth - width - 8;
    card.style.left = `${Math.max(8, Math.min(rect.left, right))}px`;
    if (!link.closest(".rz-graph")) return;
    // 先修图上摆在旁边：下面是正亮着的后续
    const aside = [rect.right + 8, rect.left - width - 8].find((x) => x >= 8 && x <= right);
    if (aside === undefined) return;
    card.style.left = `${aside}px`;
    card.style.top = `${Math.max(8, Math.min(rect.top, innerHeight - height - 8))}px`;
  }

  function hide() {
    if (!shown) return;
    clearTimeout(shown.timer);
    shown.link.removeAttribute("aria-describedby");
    shown.card?.remove();
    shown = null;
  }

  document.addEventListener("pointerover", (event) => {
    if (event.pointerType === "touch") return;
    const link = event.target.closest("article a[href]");
    // 键盘带来的滚动会让鼠标落到别处：那不算移开
    if (!shown?.byKey || (link && noteOf(link))) aim(link, false, event.clientY);
  });
  document.addEventListener("focusin", (event) => {
    if (event.target.matches("article a[href]:focus-visible")) aim(event.target, true, 0);
  });
  document.addEventListener("focusout", hide);
  document.addEventListener("pointerdown", hide);
  document.documentElement.addEventListener("pointerleave", hide);
  addEventListener("pagehide", hide);
  addEventListener("scroll", place, { passive: true, capture: true });
  addEventListener("resize", place);

  // ---- 复制到这一格为止的全部代码：按下才载入，一个片段一个文件 ----
  const codes = new Map();
  window.rizhiCode = (data) => codes.set(data.module, data.cells);

  async function code(button) {
    const { module, upto } = button.dataset;
    const shown = button.closest(".rz-cell").querySelectorAll("pre > code");
    if (!module) return [...shown].map((part) => part.textContent).join(""); // 源码，全在这一格里
    if (!(await load(`code/${module}.js`))) return "";
    return `${codes.get(module).slice(0, Number(upto)).join("\n\n")}\n`;
  }

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button.rz-copy:not([data-clipboard-text])");
    const text = button && (await code(button));
    if (!text) return;
    button.dataset.clipboardText = text;
    button.click(); // 复制由主题做：有了这个属性，它才认得这个按钮
  });

  // ---- 键盘：t 今天，[ ] 前后一天；「/」搜索是主题自带的 ----
  let days = null;
  window.rizhiDays = (data) => (days = data);

  // 今天是哪一天，如 "2026-11-24"；不知道就是空的。凌晨写的算前一天
  async function today() {
    if (!(await load("assets/days.js")) || !days) return "";
    const now = new Date(Date.now() - days.ends * 3600e3);
    const two = (number) => String(number).padStart(2, "0");
    return `${now.getFullYear()}-${two(now.getMonth() + 1)}-${two(now.getDate())}`;
  }

  async function goToday() {
    const now = await today();
    if (!days?.days.length) return;
    const past = days.days.filter((day) => day <= now);
    const day = (past.length ? past : days.days).reduce((a, b) => (a > b ? a : b));
    const url = `${root}daily/${day.slice(0, 4)}/${day}.html`;
    if (url !== here) location.href = url;
  }

  function isTyping(node) {
    const fields = "input:not([type=checkbox], [type=radio]), textarea, select";
    return node.isContentEditable || node.matches(fields) || document.querySelector("dialog[open]");
  }

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.repeat) return;
    if (event.isComposing || event.keyCode === 229 || isTyping(event.target)) return; // 229：输入法
    if (event.key === "t") goToday();
    const side = { "[": "prev", "]": "next" }[event.key];
    if (side) document.querySelector(`nav.rz-days a[rel=${side}]`)?.click();
  });

  // ---- 打印：折起的都打开，印完照旧 ----
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("article details:not([open])")];
    for (const folded of opened) folded.open = true;
  });
  addEventListener("afterprint", () => {
    for (const folded of opened) folded.open = false;
  });

  const filter = here === `${root}todos/index.html` && addFilter();
  markLate().then(() => filter && filter()); // 筛着「已逾期」刷新的，标上了才筛得出
  document.querySelectorAll("div.rz-heat").forEach(dressHeat);
  document.querySelectorAll("div.rz-graph").forEach(dressGraph);
  foldLong();
})();
