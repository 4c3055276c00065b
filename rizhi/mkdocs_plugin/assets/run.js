// `mkdocs serve` 的页面上：片段的每一格改得了、跑得了。盘上的片段与记录都不动；
// 改的存在浏览器里，刷新之后还在。只有 serve 给出的页才接上它，在 live.js 之后。
(() => {
  const { make, button, send, act } = window.rizhiLive;
  const DRAFT = `rizhi-draft/${document.querySelector("meta[name=rizhi-vault]").content}/`;
  const CARET = "rizhi-caret"; // 刷新之前光标在哪里：{key, start, end}
  const INDENT = 4;
  const MODIFIER = /Mac|iP/.test(navigator.platform) ? "⌘" : "Ctrl";
  const editors = []; // 这一页上的各格

  function hash(text) {
    let value = 0;
    for (const letter of text) value = (Math.imul(value, 31) + letter.codePointAt(0)) | 0;
    return (value >>> 0).toString(36);
  }

  const height = (text) => text.split("\n").length;

  // ---- 草稿：{text, open}，按知识库、片段、标题与文件里的源码存；存不下就不存 ----
  const read = (key) => JSON.parse(localStorage.getItem(key));

  function write(key, draft) {
    try {
      if (draft) localStorage.setItem(key, JSON.stringify(draft));
      else localStorage.removeItem(key);
      return true;
    } catch {
      return false; // 满了，或不许存
    }
  }

  // 同一格的草稿，却是从文件里从前的源码改起的
  const outdated = (prefix, key) =>
    Object.keys(localStorage).find((name) => name.startsWith(prefix) && name !== key);

  // ---- 写代码：Enter 续上缩进，退格退一层，Tab 照常离开 ----
  function insert(area, text) {
    if (!document.execCommand("insertText", false, text)) {
      area.setRangeText(text, area.selectionStart, area.selectionEnd, "end");
      area.dispatchEvent(new Event("input"));
    }
  }

  function beforeCaret(area) {
    const text = area.value.slice(0, area.selectionStart);
    return text.slice(text.lastIndexOf("\n") + 1);
  }

  function newLine(area) {
    const line = beforeCaret(area);
    const opens = /:\s*(#.*)?$/.test(line) && !/^\s*#/.test(line);
    insert(area, `\n${line.match(/^[ \t]*/)[0]}${opens ? " ".repeat(INDENT) : ""}`);
  }

  // 光标前面只有空格：一次退到上一层
  function stepBack(area) {
    const line = beforeCaret(area);
    if (area.selectionStart !== area.selectionEnd || !/^ {2,}$/.test(line)) return false;
    const many = line.length % INDENT || INDENT;
    area.setSelectionRange(area.selectionStart - many, area.selectionStart);
    return document.execCommand("delete");
  }

  // ---- 一格 ----
  function dress(cell) {
    const copy = cell.querySelector(":scope > .rz-bar > .rz-copy");
    const code = cell.querySelector(".highlight code");
    const shown = code.closest("details") ?? code.closest(".highlight");
    const record = cell.querySelector(":scope > .rz-output");
    const title = cell.querySelector(".rz-title").textContent;
    const { module } = copy.dataset;
    const upto = Number(copy.dataset.upto);
    const source = code.textContent.replace(/\n$/, "");
    const prefix = `${DRAFT}${JSON.stringify([module, title])}`;
    const key = `${prefix}${hash(source)}`;
    const first = Number(code.style.counterReset.split(" ")[1]) + 1;
    let editor = null; // 打开着的编辑器
    let running = null; // 正在跑的：{number, abort}

    const toggle = button("rz-edit", "", null, () => (editor ? close() : open(true)));
    const me = {
      module, upto, title, describe,
      text: () => editor?.area.value ?? source,
      changed: () => me.text() !== source,
      taller: () => height(me.text()) - height(source),
    };
    editors.push(me);
    copy.after(toggle);
    label();

    function label() {
      const draft = read(key) ?? read(outdated(prefix, key));
      toggle.textContent = editor ? "收起" : draft ? "接着改" : "改一改";
      toggle.ariaLabel = `${toggle.textContent}：${title}`;
      toggle.ariaExpanded = String(Boolean(editor));
    }

    function open(focus) {
      const numbers = make("div", { className: "rz-numbers", ariaHidden: "true" });
      const area = make("textarea", {
        className: "rz-draft", spellcheck: false, autocomplete: "off", autocapitalize: "off", wrap: "off",
        ariaLabel: `「${title}」的代码，${MODIFIER}-Enter 跑，Tab 离开`, value: read(key)?.text ?? source,
      });
      area.setAttribute("autocorrect", "off");
      const go = button("rz-run", "", null, () => (running ? stop() : run()));
      const reset = button("rz-reset", "复原", `复原：${title}`, restore);
      const said = make("span", { className: "rz-said", role: "status" });
      const before = make("span", { className: "rz-before" });
      const typed = make("div", { className: "rz-typed" }, numbers, area);
      typed.style.setProperty("--digits", String(first + height(source)).length);
      const keys = make("kbd", { className: "rz-keys", textContent: `${MODIFIER}-Enter` });
      const acts = make("div", { className: "rz-runbar" }, go, keys, reset, said, before);
      editor = { area, numbers, go, reset, said, before, acts };
      editor.root = make("div", { className: "rz-editor" }, typed, acts);
      area.addEventListener("input", typing);
      area.addEventListener("keydown", press);
      shown.before(editor.root);
      shown.hidden = true;
      offerOutdated();
      idle();
      typing();
      if (focus) area.focus({ preventScroll: true });
    }

    function close() {
      stop();
      running?.abort.abort();
      running = null;
      cell.ariaBusy = null;
      back();
      write(key, me.changed() ? { text: editor.area.value, open: false } : null);
      editor.root.remove();
      editor = null;
      shown.hidden = false;
      label();
      describeAll();
    }

    function typing() {
      const { area, reset } = editor;
      area.rows = height(area.value);
      reset.disabled = !me.changed();
      if (!write(key, { text: area.value, open: true })) say("浏览器存不下草稿：刷新就没有了。");
      label();
      describeAll();
    }

    function press(event) {
      if (event.isComposing || event.keyCode === 229) return; // 输入法
      if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        if (!running) run();
      } else if (event.key === "Enter" && !event.shiftKey && !event.altKey) newLine(editor.area);
      else if (event.key !== "Backspace" || !stepBack(editor.area)) return;
      event.preventDefault();
    }

    function restore() {
      if (!confirm(`丢掉你改的，换回文件里的「${title}」？`)) return;
      editor.area.value = source;
      typing();
      if (!running) {
        back(); // 现跑的是改过的那一份的
        say("");
      }
      editor.area.focus();
    }

    // 文件里改过这一格：从前改的那一份不盖上去，问要不要
    function offerOutdated() {
      const old = outdated(prefix, key);
      if (!old) return;
      const said = "文件里这一格改过了，你从前改的一份还在。";
      const drop = () => {
        write(old, null);
        asked.remove();
        typing();
        editor.area.focus();
      };
      const take = button("rz-take", "换成它", null, () => {
        editor.area.value = read(old).text;
        drop();
      });
      const asked = make("p", { className: "rz-outdated" }, said, take, button("rz-drop-draft", "丢掉", null, drop));
      editor.root.prepend(asked);
    }

    // 前面改过的格：页面上看见什么，就照什么跑
    const earlier = () =>
      editors.filter((one) => one.module === module && one.upto < upto && one.changed());

    // 说清前面的格照什么跑；行号从回溯里说的那一行数起
    function describe() {
      if (!editor) return;
      const names = earlier().map((one) => `「${one.title}」`).join("");
      const how = names ? `${names}照你改的，别的照文件` : "照文件";
      editor.before.textContent = upto > 1 ? `先跑前面 ${upto - 1} 格，${how}。` : "";
      const start = earlier().reduce((line, one) => line + one.taller(), first);
      const lines = Array.from({ length: editor.area.rows }, (_, line) => start + line);
      editor.numbers.textContent = lines.join("\n");
    }

    function say(...words) {
      editor.said.replaceChildren(...words);
    }

    function idle() {
      running = null;
      cell.ariaBusy = null;
      editor.go.textContent = "跑";
      editor.go.ariaLabel = `跑：${title}`;
    }

    // ---- 跑 ----
    async function run() {
      const mine = { number: 0, abort: new AbortController(), ended: false, html: "" };
      running = mine;
      cell.ariaBusy = "true";
      editor.go.textContent = "停";
      editor.go.ariaLabel = `停：${title}`;
      say("正在跑……");
      const drafts = Object.fromEntries([...earlier(), me].map((one) => [one.title, one.text()]));
      try {
        const answer = await send("run", { module, title, drafts }, { signal: mine.abort.signal });
        if (answer.ok) await follow(answer.body, mine);
        else fail((await answer.json()).error);
      } catch {
        if (running === mine) cut(mine);
      }
      if (running === mine) idle();
    }

    async function follow(body, mine) {
      const reader = body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (running !== mine) return;
        if (done) break;
        const lines = (rest + value).split("\n");
        rest = lines.pop();
        for (const line of lines) take(JSON.parse(line), mine);
      }
      if (!mine.ended) throw new Error("没有说完就断了");
    }

    function take(line, mine) {
      mine.number ||= line.run;
      mine.ended ||= Boolean(line.ended || line.error);
      if (line.busy) busy(line);
      else if (line.error) fail(line.error);
      if (line.at === "") say("正在载入库……");
      else if (line.at) say(line.at === title ? "正在跑……" : `正在跑前面的「${line.at}」……`);
      mine.html = line.html || mine.html;
      if (line.html || line.ended) show(line);
      const words = { done: "跑完了", failed: "出错了", stopped: "停下了" }[line.ended];
      if (words) say(`${words}，${line.seconds} 秒。`);
    }

    // 没有说完就断了：已经出来的留着看
    function cut({ abort, html }) {
      if (html) show({ html, ended: true });
      const gone = "连不上 mkdocs serve，没有跑完：看看它是不是关掉了。";
      say(abort.signal.aborted ? "停下了。" : gone);
    }

    function fail(problem) {
      show({ problem, ended: true });
      say("没有跑。");
    }

    // 别处正在跑的，就地停得掉
    function busy({ error, busy: number }) {
      say(error, button("rz-stop-other", "停掉它，跑这一格", null, async () => {
        const { error: why } = await act("stop", { run: number });
        if (!editor) return;
        editor.go.focus();
        if (why) say(why);
        else run();
      }));
    }

    function stop() {
      if (running?.number) act("stop", { run: running.number });
      else running?.abort.abort();
    }

    // ---- 输出，在记录原来的位置 ----
    function show({ html, problem, ended }) {
      const words = ended ? "现跑的" : "正在跑";
      const mark = make("span", { className: "rz-fresh-mark", textContent: words });
      const name = record ? "回到记录" : "去掉";
      const away = button("rz-back", name, `${name}：${title}`, () => {
        back();
        editor.go.focus();
      });
      const head = make("div", { className: "rz-fresh-bar" }, mark, ...(ended ? [away] : []));
      const fresh = make("div", { className: ended ? "rz-fresh" : "rz-fresh rz-ongoing" }, head);
      // 服务器排的，里面的字都转义过
      if (html) fresh.insertAdjacentHTML("beforeend", html);
      else fresh.append(make("p", { className: problem ? "rz-problem" : "rz-nothing", textContent: problem ?? "没有输出。" }));
      const old = cell.querySelector(":scope > .rz-fresh");
      if (old) old.replaceWith(fresh);
      else if (record) record.before(fresh);
      else cell.append(fresh);
      if (record) record.hidden = true;
      for (const node of fresh.querySelectorAll(".rz-output, pre")) {
        if (node.scrollWidth > node.clientWidth) node.tabIndex = 0; // 横滚的，键盘也到得了
      }
      fresh.scrollTop = fresh.scrollHeight; // 还在跑的，看最后几行
    }

    function back() {
      cell.querySelector(":scope > .rz-fresh")?.remove();
      if (record) record.hidden = false;
    }

    // 刷新之前开着的，再打开；光标还在原处
    const kept = read(key) ?? read(outdated(prefix, key));
    if (kept?.open) open(false);
    me.caret = () => editor && document.activeElement === editor.area && {
      key, start: editor.area.selectionStart, end: editor.area.selectionEnd,
    };
    me.overtaken = (changed) => {
      if (changed === key && editor) say("别的标签页也在改这一格，后写的留下：这里的先抄走，再刷新。");
    };
    me.resume = (caret) => {
      if (caret.key !== key || !editor) return;
      editor.area.focus({ preventScroll: true });
      editor.area.setSelectionRange(caret.start, caret.end);
    };
  }

  // 别的标签页存了同一格的草稿：刷新之后看到的是那一份，先说一声
  addEventListener("storage", ({ key, newValue }) => {
    if (newValue) editors.forEach((one) => one.overtaken(key));
  });

  const describeAll = () => editors.forEach((one) => one.describe());

  addEventListener("pagehide", () => {
    const caret = editors.map((one) => one.caret()).find(Boolean);
    if (caret) sessionStorage.setItem(CARET, JSON.stringify(caret));
  });

  addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll("article .rz-cell:has(> .rz-bar > .rz-copy[data-module])").forEach(dress);
    const caret = JSON.parse(sessionStorage.getItem(CARET));
    sessionStorage.removeItem(CARET);
    if (caret) editors.forEach((one) => one.resume(caret));
  });
})();
