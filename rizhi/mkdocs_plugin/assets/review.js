// 「复习」页，首页的「今天要复习几张」，笔记上的「还记得多少」：内容都向 `live_review.py` 要。
// 答过什么由日志说；这里只记这个标签页能撤回的、跳过的、各张答到哪里了，与没交的草稿。
(() => {
  const { act, button, make, url } = rizhiLive;
  const PAGE = "review/index.html";
  const KEPT = "rizhi-review"; // {day, undo: [{card, events}], skipped: [题或说不准的], marks: {题: 答到哪里了}}
  // 答错的各次，看过的提示与还有没有下一步，要打字的题看了答案、撤回之前看过，评分时写着的
  const UNMARKED = { tries: [], hints: [], more: true, shown: false, seen: false, text: "" };
  const GRADES = ["忘了", "吃力", "记得", "容易"];
  const FORGOT = 1;
  const HARD = 2;
  const GOOD = 3;
  const LOOKS = ["review-try", "review-show", "review-start", "review-hint"]; // 什么也不记的
  const DIGITS = 9; // 数字键选得到第几个
  const KEYS = [
    ["空格、Enter", "看答案；写了答案就是交答案；看过之后是框着的那一个"],
    ["1 2 3 4", "忘了、吃力、记得、容易；选答案的题是选第几个"],
    ["h", "提示"],
    ["u", "撤回上一张"],
    ["s", "跳过这一张"],
    ["Ctrl+Enter", "在写几行的框里，交答案"],
    ["Esc", "离开写答案的框，上面的键就又能用"],
    ["?", "这张表"],
  ];

  const after = (days) => (days === 0 ? "先不问了" : days === 1 ? "明天" : `${days} 天后`);
  const draft = (card) => `rizhi-answer-${card.key}`; // 没交的：{day, text}
  const link = (textContent, page, className = "") => make("a", { textContent, className, href: url(page) });

  // 浏览器里存着的；写坏了就当没有
  function stored(storage, key) {
    try {
      return JSON.parse(storage.getItem(key));
    } catch {
      return null;
    }
  }

  function html(className, content) {
    const made = make("div", { className });
    made.innerHTML = content;
    return made;
  }

  // 按钮上写着它的键；读屏念的是字，键另说
  function keyed(className, text, key, click, more = "") {
    const made = button(className, "", null, click);
    made.append(make("span", { textContent: text }));
    if (more) made.append(" ", make("small", { textContent: more }));
    if (!key) return made;
    made.setAttribute("aria-keyshortcuts", key);
    made.append(make("kbd", { textContent: key === "Space" ? "空格" : key, ariaHidden: "true" }));
    return made;
  }

  // ---- 一场复习 ----
  function review(shell) {
    const note = new URLSearchParams(location.search).get("note");
    const scope = note ? { note } : {};
    const notice = make("div", { className: "rz-said", role: "status" });
    const warned = make("div", { className: "rz-said", role: "alert" });
    const failed = make("div", { className: "rz-said", role: "alert" }); // 挨着按下的钮，滚到哪里都看得见
    const stage = make("div", { className: "rz-stage" });
    const main = make("div", { className: "rz-main" });
    const side = make("div", { className: "rz-side" });
    const foot = make("div", { className: "rz-foot" }, notice, side);
    let found, doubts, queue, card, phase, marks, passed;
    let held = null; // 按下的键落在哪里
    let busy = null; // 在等回答的那一件：{action}

    function kept() {
      const old = stored(sessionStorage, KEPT);
      const sound = old?.day === found.day && [old.undo, old.skipped].every(Array.isArray) && old.marks instanceof Object;
      return sound ? old : { day: found.day, undo: [], skipped: [], marks: {} };
    }
    const keep = (value) => sessionStorage.setItem(KEPT, JSON.stringify(value));

    // 这一张答到哪里了：热加载、刷新之后接着算
    function marked(key) {
      const old = kept().marks[key];
      return [old?.tries, old?.hints].every(Array.isArray) ? old : UNMARKED;
    }

    function mark(more) {
      marks = { ...marks, ...more };
      const old = kept();
      keep({ ...old, marks: { ...old.marks, [card.key]: marks } });
    }

    function say(...parts) {
      notice.replaceChildren(...parts.filter(Boolean));
    }

    // 日志坏了的几行一直说着
    function warn() {
      warned.replaceChildren(...found.problems.map((textContent) => make("p", { textContent })));
    }

    // 一次只做一件；连不上、做不成的是 null，还在这一张上；这一张已经不是这样了，就重来。
    // 等的时候跳过了那一张，回答就不要了
    async function ask(action, wanted) {
      if (busy) return null;
      const ours = { action };
      wait(ours);
      const answer = await act(action, { ...scope, ...wanted });
      if (busy !== ours) return undefined;
      wait(null);
      failed.textContent = answer.error ?? ""; // 做不成的一句，到下一次为止
      if (answer.error) return null;
      if (!answer.stale) return answer;
      await begin(null, answer.stale);
      return undefined;
    }

    function wait(what) {
      busy = what;
      stage.ariaBusy = `${Boolean(what)}`;
    }

    // 离开这一张：在等的若什么也不记，就不等了；要记的，等它记完
    function leave() {
      if (busy && !LOOKS.includes(busy.action)) return false;
      wait(null);
      return true;
    }

    async function begin(first = null, told = "") {
      const answer = await ask("review", {});
      if (!answer && !found) stage.replaceChildren();
      if (!answer) return;
      found = answer;
      line(first);
      warn();
      say(...[told].flat());
      next();
    }

    // 还没有答的里，跳过的不排
    function line(first = null) {
      const { skipped } = kept();
      queue = found.cards.filter((one) => !skipped.includes(one.key) || one.key === first);
      queue.sort((a, b) => (b.key === first) - (a.key === first));
      doubts = found.doubts.filter((one) => !skipped.includes(one.key));
      passed = found.cards.length - queue.length + found.doubts.length - doubts.length;
    }

    // 排着的都过了一遍，收尾之前再问一次：别的标签页、终端里也许也在答
    async function onward(...told) {
      line();
      say(...told);
      if (queue.length || doubts.length) next();
      else await begin(null, told);
    }

    function next() {
      [card] = queue;
      if (doubts.length) doubt(doubts[0], 0);
      else if (card) open();
      else finish();
    }

    // ---- 画一张 ----
    function open() {
      phase = "asked";
      marks = marked(card.key);
      const asked = html("rz-asked", card.html);
      asked.id = "rz-asked";
      const changed = card.changed.map((textContent) => make("p", { className: "rz-moved", textContent }));
      const place = make("section", { className: "rz-card", tabIndex: -1, ariaLabel: "题" }, about(card, card.new ? " · 新的" : ""), ...changed, asked);
      place.dataset.card = card.key;
      const written = card.input === "code" ? drafted() : "";
      if (card.input === "choice") place.append(choosing());
      else if (card.input) place.append(writing(written));
      stage.replaceChildren(progress(), place);
      marks.hints.forEach(step);
      rizhiTypeset(place);
      offer();
      const box = place.querySelector(".rz-write-in");
      const typing = box && matchMedia("(hover: hover)").matches;
      (typing ? box : place).focus({ preventScroll: true });
      rise();
      if (marks.shown) show();
      else if (written === undefined) begun(box);
    }

    // 上一张滚到了下面的，换一张时回到顶上；顶栏的高由 scroll-margin 留出
    function rise() {
      const room = parseFloat(getComputedStyle(stage).scrollMarginTop);
      if (stage.getBoundingClientRect().top < room) stage.scrollIntoView();
    }

    function about({ note: from, kind }, more = "") {
      return make("p", { className: "rz-about" }, make("a", { href: from.url, textContent: from.title }), ` · ${kind}${more}`);
    }

    // 默写的起始代码：问到了才要；已经打了字的不盖掉
    async function begun(box) {
      const answer = await ask("review-start", { card: card.key });
      if (!answer || !box.isConnected || box.value) return;
      box.value = answer.start;
      box.rows = answer.start.split("\n").length + 1;
      const hole = answer.start.match(/^( *)\.\.\.(?=\s|$)/m);
      const at = hole && hole.index + hole[1].length;
      if (hole) box.setSelectionRange(at, at + 3); // 选中 `...`，一打字就换掉
    }

    // 说不准是不是同一题：笔记改了字，与从前问过的像，又不够像
    function doubt(one, at) {
      phase = "doubt";
      const old = one.olds[at];
      const title = make("p", { className: "rz-moved", textContent: "这一题像是改过的。是同一题吗？是的话接着原来的历史。" });
      const named = (text, content) => make("div", { className: "rz-then" }, make("h2", { textContent: text }), html("", content));
      const place = make("section", { className: "rz-card", tabIndex: -1, ariaLabel: "是不是同一题" }, about(one), title, named("原来", old.html), named("现在", one.html));
      const settle = async (same) => {
        const answer = await ask("review-settle", { card: one.key, same });
        if (answer) await begin(null, answer.said);
      };
      DOUBT.y = () => settle(old.id);
      DOUBT.n = () => (at + 1 < one.olds.length ? doubt(one, at + 1) : settle(null));
      DOUBT.l = () => {
        if (!leave()) return;
        pass(one, "以后再说，下次还问。");
      };
      main.replaceChildren(keyed("rz-do", "同一题", "y", DOUBT.y), keyed("rz-do", "不是", "n", DOUBT.n), keyed("rz-do", "以后再说", "l", DOUBT.l));
      side.replaceChildren();
      stage.replaceChildren(place);
      rizhiTypeset(place);
      place.focus({ preventScroll: true });
      rise();
    }

    function progress() {
      const total = found.done + queue.length + passed;
      const fresh = queue.filter((one) => one.new).length;
      const bar = make("progress", { max: total, value: found.done, ariaLabel: "进度" });
      const left = [[queue.length - fresh, note ? "问过的" : "到期的"], [fresh, "新的"]];
      const text = left.filter(([count]) => count).map(([count, name]) => `${name} ${count} 张`).join("，");
      const at = make("strong", { textContent: `第 ${found.done + 1} 张，共 ${total} 张` });
      return make("div", { className: "rz-progress" }, make("p", {}, at, make("span", { textContent: `还有${text}` })), bar);
    }

    function choosing() {
      const ours = card.choices.map((title, at) => {
        const made = make("input", { type: "radio", name: "rz-choice", value: `${at + 1}` });
        const key = at < DIGITS ? [make("kbd", { textContent: `${at + 1}`, ariaHidden: "true" })] : [];
        return make("label", {}, made, ...key, make("span", { textContent: title }));
      });
      const made = make("div", { className: "rz-choices" }, ...ours);
      made.setAttribute("role", "radiogroup");
      made.setAttribute("aria-label", "哪个检验会红");
      return made;
    }

    // 写几行的框里，回车是换行
    const many = () => card.input === "code" || (card.input === "lines" && card.rows > 1);

    function writing(text) {
      const lines = card.input === "lines" && card.rows > 1;
      const tag = many() ? "textarea" : "input";
      const box = make(tag, {
        className: "rz-write-in",
        value: (card.input === "code" ? text : drafted()) ?? "",
        spellcheck: false,
        autocomplete: "off",
        autocapitalize: "off",
        ariaLabel: "你的答案",
        placeholder: lines ? `${card.rows} 行` : "",
      });
      box.setAttribute("aria-describedby", "rz-asked");
      if (tag === "textarea") box.rows = Math.max(card.input === "code" ? box.value.split("\n").length + 1 : card.rows, 2);
      box.dataset.input = card.input;
      const ours = card;
      box.addEventListener("input", () => {
        localStorage.setItem(draft(ours), JSON.stringify({ day: found.day, text: box.value }));
      });
      return box;
    }

    // 写了一半的代码留着；形状题的大小一天一换，昨天的不算
    function drafted() {
      const old = stored(localStorage, draft(card));
      return typeof old?.text === "string" && (card.input === "code" || old.day === found.day) ? old.text : undefined;
    }

    // 下面一排：此刻能做什么
    function offer() {
      main.replaceChildren();
      side.replaceChildren();
      if (phase === "asked" && card.input) {
        main.append(keyed("rz-do rz-first", "交答案", many() ? "Ctrl+Enter" : "Enter", submit));
        main.append(keyed("rz-do", "看答案", "", show, "算忘了"));
      } else if (phase === "asked") main.append(keyed("rz-do rz-first", "看答案", "Space", show));
      else {
        for (const grade of grades()) {
          const first = grade === usual() ? " rz-first" : "";
          main.append(keyed(`rz-do rz-grade${first}`, GRADES[grade - 1], `${grade}`, () => rate(grade), after(card.days[grade - 1])));
        }
      }
      if (phase === "asked" && card.hints && marks.more) side.append(keyed("rz-aside", "提示", "h", hint));
      if (phase === "asked" && card.input === "code") side.append(button("rz-aside", "从头写", null, afresh));
      side.append(keyed("rz-aside", "跳过", "s", skip));
      const undo = keyed("rz-aside", "撤回", "u", takeBack);
      undo.disabled = !kept().undo.length;
      side.append(undo, keyed("rz-aside rz-about-keys", "按键", "?", help));
    }

    // 打了字、最后看了答案的，就是忘了；答对了的，用过提示、错过，多半是吃力
    const grades = () => (card.input && phase === "shown" ? [FORGOT] : [1, 2, 3, 4]);
    const usual = () => (grades().length === 1 ? FORGOT : card.input && (marks.seen || marks.hints.length + marks.tries.length) ? HARD : GOOD);

    // ---- 做一件 ----
    const written = () => stage.querySelector(".rz-write-in, .rz-choices :checked")?.value ?? "";

    async function submit() {
      if (busy) return;
      const said = written();
      if (!said.trim()) return card.input === "choice" ? undefined : show();
      const waiting = card.input === "code" && verdict({ lines: ["在判：重放各次调用，再跑检验……"] });
      const answer = await ask("review-try", { card: card.key, said });
      if (!answer) return waiting && waiting.remove();
      verdict(answer);
      if (!answer.right) mark({ tries: [...marks.tries, card.choices[said - 1] ?? said] });
      if (answer.right) reveal("right", answer.html);
    }

    function verdict({ right, lines, named }) {
      stage.querySelector(".rz-verdict")?.remove();
      const told = lines.map((textContent) => make("p", { textContent }, ...(textContent === named ? [" ", make("a", { href: card.note.url, textContent: `去读「${card.note.title}」` })] : [])));
      const made = make("div", { className: "rz-verdict", role: "status" }, ...told);
      if (right !== undefined) made.dataset.right = right;
      stage.querySelector(".rz-write-in, .rz-choices").after(made);
      return made;
    }

    // 换上起始代码；Ctrl-Z 退得回
    async function afresh() {
      const answer = await ask("review-start", { card: card.key });
      const box = stage.querySelector(".rz-write-in");
      if (!answer || !box) return;
      stage.querySelector(".rz-verdict")?.remove();
      box.focus();
      box.select();
      document.execCommand("insertText", false, answer.start);
    }

    async function show() {
      const answer = await ask("review-show", { card: card.key });
      if (!answer) return;
      if (card.input) mark({ shown: true });
      reveal("shown", answer.html);
    }

    function reveal(now, content) {
      phase = now;
      stage.querySelector(".rz-hint")?.remove();
      if (now === "shown") stage.querySelector(".rz-verdict")?.remove();
      const place = stage.querySelector(".rz-card");
      const answer = html("rz-answer", content);
      answer.setAttribute("role", "region");
      answer.setAttribute("aria-label", "答案");
      answer.tabIndex = -1;
      place.append(answer);
      const box = place.querySelector(".rz-write-in");
      if (box?.value) box.readOnly = true;
      else box?.remove();
      for (const one of place.querySelectorAll(".rz-choices input")) one.disabled = true;
      rizhiTypeset(answer);
      offer();
      answer.focus({ preventScroll: true });
      answer.scrollIntoView({ block: "nearest" });
    }

    async function hint() {
      if (phase !== "asked" || !card.hints || !marks.more) return;
      const answer = await ask("review-hint", { card: card.key, number: marks.hints.length });
      if (!answer) return;
      mark({ hints: [...marks.hints, answer.html], more: answer.more });
      rizhiTypeset(step(answer.html));
      offer();
    }

    function step(content) {
      const place = stage.querySelector(".rz-hint") ?? make("div", { className: "rz-hint", role: "status" });
      const made = html("", content);
      place.append(made);
      stage.querySelector(".rz-asked").after(place);
      return made;
    }

    async function rate(grade) {
      if (phase === "asked" || !grades().includes(grade)) return;
      const answer = await ask("review-grade", { card: card.key, grade, attempt: marks.tries.join("\n\n") });
      if (!answer) return;
      mark({ text: stage.querySelector(".rz-write-in")?.value ?? "" });
      const old = kept();
      keep({ ...old, undo: [...old.undo, { card: card.key, events: answer.events }] });
      localStorage.removeItem(draft(card));
      const { done, forgot, tomorrow, left } = answer;
      Object.assign(found, { done, forgot, tomorrow, cards: found.cards.filter(({ key }) => left.includes(key)) });
      const read = answer.read && make("a", { href: answer.read.url, textContent: answer.read.title });
      await onward(`上一张：${GRADES[grade - 1]}，${answer.said}`, read);
    }

    function skip() {
      if (!leave()) return;
      pass(card, "跳过了，这一场最后可以再看。");
    }

    function pass({ key }, told) {
      const old = kept();
      keep({ ...old, skipped: [...new Set([...old.skipped, key])] });
      onward(told);
    }

    async function takeBack() {
      const old = kept();
      const last = old.undo.at(-1);
      if (!last) return;
      const answer = await ask("review-undo", { events: last.events });
      if (answer === null) return;
      keep({ ...old, undo: old.undo.slice(0, -1) });
      if (answer) {
        reopen(last.card);
        await begin(last.card, answer.said);
      } else side.querySelector("[aria-keyshortcuts=u]")?.toggleAttribute("disabled", old.undo.length < 2);
    }

    // 撤回的一张：框里还是刚才写的，答案收起来再答；错过几次、看过什么都还在
    function reopen(key) {
      const old = kept();
      const was = marked(key);
      keep({ ...old, marks: { ...old.marks, [key]: { ...was, shown: false, seen: was.seen || was.shown } } });
      if (was.text) localStorage.setItem(draft({ key }), JSON.stringify({ day: found.day, text: was.text }));
    }

    function help() {
      const rows = KEYS.map(([keys, what]) => [make("dt", {}, make("kbd", { textContent: keys })), make("dd", { textContent: what })]);
      const close = button("rz-do", "知道了", null, () => dialog.close());
      const dialog = make("dialog", { className: "rz-help", ariaLabel: "按键" }, make("dl", {}, ...rows.flat()), close);
      dialog.addEventListener("close", () => dialog.remove());
      stage.append(dialog);
      dialog.showModal();
    }

    // ---- 收尾 ----
    function finish() {
      phase = "done";
      const { done, forgot, tomorrow, later, fresh, empty } = found;
      const [here, all] = note ? ["这一篇今天", "连同别的笔记，"] : ["今天", ""];
      const lines = [];
      if (empty) lines.push("还没有题：在笔记的自测里写 ??? question。");
      else if (done) lines.push(`${here}答了 ${done} 张，忘了 ${forgot} 张；${all}明天到期 ${tomorrow} 张。`);
      else lines.push(`${here}没有要复习的；${all}明天到期 ${tomorrow} 张。`);
      if (!note && later > 0) lines.push(`另有 ${later} 张到期的，明天起慢慢来。`);
      if (fresh > 0) lines.push(`这一篇还有 ${fresh} 张新的，一天添几张，明天接着。`);
      if (passed) lines.push(`跳过了 ${passed} 张。`);
      lines.push(...found.missing);
      const title = make("p", { className: "rz-done", textContent: done && !passed ? "做完了。" : "" });
      const told = lines.map((textContent) => make("p", { textContent }));
      const place = make("section", { className: "rz-card", tabIndex: -1, ariaLabel: "收尾" }, ...(done && !passed ? [title] : []), ...told);
      main.replaceChildren();
      side.replaceChildren();
      if (passed) main.append(button("rz-do rz-first", "再看跳过的", null, again));
      if (note) main.append(link("复习全部", PAGE, "rz-do"));
      main.append(found.note ? make("a", { href: found.note.url, className: "rz-do", textContent: `回「${found.note.title}」` }) : link("回首页", "index.html", "rz-do"));
      if (kept().undo.length) side.append(keyed("rz-aside", "撤回", "u", takeBack));
      stage.replaceChildren(place);
      place.focus({ preventScroll: true });
      rise();
    }

    function again() {
      keep({ ...kept(), skipped: [] });
      begin();
    }

    // ---- 键盘 ----
    function enter(event) {
      const { target } = event;
      if (event.isComposing) return;
      if (target.tagName === "INPUT" || event.ctrlKey || event.metaKey) {
        event.preventDefault();
        if (phase === "asked") submit();
      } else if (card.input === "code") indent(event, target);
    }

    // 换行照上一行缩进，冒号之后多一层；Tab 不占，照常离开
    function indent(event, box) {
      event.preventDefault();
      const line = box.value.slice(0, box.selectionStart).split("\n").at(-1);
      const more = /:\s*(#.*)?$/.test(line) ? "    " : "";
      document.execCommand("insertText", false, `\n${line.match(/^ */)[0]}${more}`); // 退得回
    }

    // 按住不放，重复来的：回车不再交、不再按钮；上一张上按下的不落进这一张的框里。
    // 在框里自己按住的，照常写
    function repeated({ target, key, repeat, ctrlKey, metaKey }) {
      if (!repeat) held = target;
      if (!repeat || !shell.contains(target) || target.readOnly) return false;
      const own = target === held && target.matches(".rz-write-in");
      if (key === "Enter") return !own || target.tagName === "INPUT" || ctrlKey || metaKey;
      return key.length === 1 && target.matches(".rz-write-in") && !own;
    }

    function pressed(event) {
      if (!found) return;
      const { target, key } = event;
      if (document.querySelector("dialog[open], #__search:checked")) return;
      if (repeated(event)) {
        event.preventDefault();
        event.stopPropagation();
        return;
      }
      if (target.matches(".rz-write-in")) {
        if (key === "Escape") stage.querySelector(".rz-card").focus();
        if (key === "Enter" && !target.readOnly) enter(event);
        event.stopPropagation(); // 主题的单个键：s 搜索、n 下一页
        if (!target.readOnly || key === "Escape") return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
      if (target.closest("input:not([readonly], [type=radio]), select, [contenteditable]")) return;
      if (key === " " && target.type === "radio") return;
      const forth = (key === " " || key === "Enter") && !target.closest("a, button, summary");
      const go = phase === "doubt" ? DOUBT[key] : phase === "done" ? key === "u" && takeBack : forth ? proceed : DOES[key];
      if (!go) return;
      event.preventDefault();
      event.stopPropagation();
      go();
    }

    const proceed = () => (phase !== "asked" ? rate(usual()) : card.input ? submit() : show());
    // 数字键：题还问着是选第几个，看过答案是评分
    function number(which) {
      if (phase !== "asked") return rate(which);
      const one = stage.querySelector(`.rz-choices input[value="${which}"]`);
      if (!one) return;
      one.checked = true;
      one.focus();
    }

    const DOUBT = {};
    const DOES = { h: hint, s: skip, u: takeBack, "?": help };
    for (let which = 1; which <= DIGITS; which += 1) DOES[which] = () => number(which);

    document.addEventListener("keydown", pressed, true);
    stage.append(make("p", { className: "rz-moved", textContent: "在排今天的题……" }));
    shell.replaceChildren(warned, stage, make("div", { className: "rz-keys" }, failed, main, foot));
    begin();
  }

  // ---- 首页与笔记 ----
  async function home(today) {
    const { due, new: fresh, done, error } = await act("review-state", {});
    if (error || !(due + fresh + done)) return;
    const parts = [due && `到期的 ${due} 张`, fresh && `新的 ${fresh} 张`].filter(Boolean).join("，");
    const line = make("p", { className: "rz-due" });
    if (parts) line.append(`今天要复习：${parts}`, done ? `；做了 ${done} 张` : "", "。", link("去复习", PAGE));
    else line.append(`今天复习过了，做了 ${done} 张。`);
    today.append(line);
  }

  async function known(article, slug) {
    const { kept, error } = await act("review-state", { note: slug });
    if (error || !kept?.cards) return;
    const { cards, asked } = kept;
    const percent = Math.round(kept.kept * 100);
    const text = asked ? `这一篇还记得 ${percent}%：${cards} 题，问过 ${asked} 题` : `这一篇有 ${cards} 题，还没开始复习`;
    const bar = make("span", { className: "rz-kept-bar", ariaHidden: "true" }, make("span", {}));
    bar.firstChild.style.width = `${percent}%`;
    const line = make("p", { className: "rz-kept" }, bar, make("span", { textContent: text }), link("现在复习", `${PAGE}?note=${slug}`));
    (article.querySelector(".rz-lead") ?? article.querySelector("h1"))?.after(line);
  }

  addEventListener("DOMContentLoaded", () => {
    const shell = document.querySelector(".rz-review");
    const today = document.querySelector(".rz-home > .rz-today");
    const base = new URL(url("")).pathname;
    const note = location.pathname.slice(base.length).match(/^notes\/(?:[^/]+\/)?([^/]+)\.html$/);
    if (shell) review(shell);
    if (today) home(today);
    if (note && note[1] !== "index") known(document.querySelector("article"), decodeURIComponent(note[1]));
  });
})();
