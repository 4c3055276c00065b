// 张量流的查看器：走一步，亮一个框、一行代码，说一句话。数据在块自己的 data-flow 里，是一个片段的
// 输出（见 flow 围栏）：steps 是各步，variants 是每个家族、每种注意力走哪几步，phases 是走的几段。
// 状态写在网址的 ? 后面：刷新还在，也能发给别人。
(() => {
  const flow = (window.rizhiFlow ||= {});
  const { html } = flow;
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const EDGES = [["residual", "残差"], ["data", "数据"], ["position", "位置"], ["cache", "缓存"], ["mask", "掩码"]];
  const HEADED = /^(scores|weights|y)\.(matmul|mul|masked_fill|softmax)$/;
  const OWN = "自己填";
  const AGAIN = ["new.input", "k.cat", "v.cat", "present.append", "past_key_values.tuple", "new.unsqueeze"];

  function viewer(root) {
    const data = JSON.parse(root.dataset.flow);
    if (!data.phases) return; // 不是张量流的数据：文字留在那里
    for (const [name, link] of Object.entries(data.links)) {
      if (!/^(https?|file):$/.test(new URL(link, location).protocol)) delete data.links[name];
    }
    const state = restored(data);
    let scene = {};
    let timer = 0;

    // ---- 骨架
    const { form, show } = flow.form(data, changed);
    const totals = html("div", { className: "rz-totals-holder" });
    const drawing = html("div", { className: "rz-flow-drawing" });
    const { box: codeBox, lines: codeLines } = flow.code(data, (number) => {
      const at = scene.walk.findIndex((stop) => stop.phase === here().phase && scene.steps[stop.step].line === number);
      if (at >= 0) go(at);
    });
    const button = (text, title, act) => html("button", { type: "button", title, onclick: act }, text);
    const play = button("▶", "走下去", toggle);
    const slider = html("input", { type: "range", min: 0, value: 0, className: "rz-slider" });
    slider.setAttribute("aria-label", "第几步");
    slider.addEventListener("input", () => go(Number(slider.value)));
    const part = html("select", { className: "rz-part", onchange: () => go(scene.walk.findIndex((s) => s.phase === Number(part.value))) },
      ...data.phases.map(([name], i) => html("option", { value: i }, name)));
    part.setAttribute("aria-label", "跳到哪一段");
    const count = html("span", { className: "rz-at" });
    const guessing = html("input", { type: "checkbox", onchange: () => { state.guess = guessing.checked; state.shown = -1; render(); } });
    const fold = button("收", "收起、展开", () => side.classList.toggle("rz-folded"));
    fold.className = "rz-fold-sheet";
    const bar = html("div", { className: "rz-controls" },
      button("«", "回到开头", () => go(0)), button("←", "上一步（←）", () => go(state.at - 1)), play,
      button("→", "下一步（→）", () => go(state.at + 1)), slider, part, count,
      html("label", { className: "rz-guess-switch" }, guessing, " 猜形状"), fold);
    const say = html("div", { className: "rz-say-step", role: "status" });
    const change = html("div", { className: "rz-change", tabIndex: 0, role: "group", "aria-label": "这一步前后的形状" });
    const cache = html("div");
    const headBox = html("details", { className: "rz-head" });
    const side = html("div", { className: "rz-flow-side" }, bar, say, change, codeBox,
      html("div", { className: "rz-boards" }, cache, headBox));
    const listHolder = html("details", { className: "rz-flow-steps" });
    const legend = html("p", { className: "rz-legend" }, ...EDGES.map(([kind, words]) => html("span", {}, sample(kind), words)),
      html("span", {}, "虚线回路：交给下一步"),
      html("span", {}, "方块的边长按对数画，大一倍长一格：所以 H*D 那条边就是 H 与 D 接起来"));
    root.replaceChildren(form, totals, legend,
      html("div", { className: "rz-flow-stage" }, drawing, side), listHolder);
    root.classList.add("rz-ready");
    headPanel();

    // ---- 一幅图：家族、注意力、尺寸变了才重画
    function build() {
      const variant = data.variants[state.values.family][state.values.backend];
      const { wrong, letters } = flow.problems(data, state.values, variant.letters);
      show(state, wrong);
      if (Object.keys(wrong).length) return;
      const phases = data.phases.map(([, changes]) => ({
        ...letters,
        ...Object.fromEntries(Object.entries(changes).map(([name, text]) => [name, flow.evaluate(text, letters)])),
      }));
      const steps = variant.steps.map(([index, sources]) => {
        const [op, key, name, fn, line, kind, lane, shapes, captions] = data.steps[index];
        return { op, key, name, function: fn, line, kind, lane, shapes, captions, sources };
      });
      scene = { phases, steps, walk: walk(data, steps, letters.L), letters };
      slider.max = scene.walk.length - 1;
      state.at = Math.min(Math.max(state.at, 0), scene.walk.length - 1);
      totals.replaceChildren(html("details", { open: Boolean(totals.querySelector("details[open]")) },
        html("summary", {}, summary(variant)), flow.totals(data, variant.totals, phases)));
      listHolder.replaceChildren(html("summary", {}, `全部步骤的文字（${steps.length} 步）`), flow.list(steps, phases, data));
      draw();
    }

    function summary(variant) {
      const table = flow.totals(data, variant.totals, scene.phases);
      const sums = [...table.querySelectorAll(".rz-sum td")].map((cell) => cell.textContent);
      return `合计：${sums[0]} 个参数 · prefill ${sums[1]} 次浮点运算 · decode 一个 ${sums[2]} 次 · ${scene.phases[1].S} 个词元的缓存 ${sums[3]}；点开看各项`;
    }

    function draw() {
      const width = Math.max(drawing.clientWidth, 320);
      scene.width = width;
      scene.drawnPhase = 0;
      const picture = flow.diagram(scene.steps, width, scene.phases[0], scene.phases.slice(0, 2), data.title);
      picture.addEventListener("click", (event) => {
        const hit = event.target.closest("[data-step]");
        if (!hit) return;
        const at = scene.walk.findIndex((stop) => stop.phase === here().phase && stop.step === Number(hit.dataset.step));
        go(at < 0 ? scene.walk.findIndex((stop) => stop.step === Number(hit.dataset.step)) : at);
      });
      drawing.replaceChildren(picture);
      render(false);
    }

    const here = () => scene.walk[state.at];

    // ---- 走到一步
    function go(at, by = "reader") {
      if (by === "reader") stop();
      if (at < 0 || at >= scene.walk.length) return stop();
      state.at = at;
      state.shown = -1;
      render();
    }

    function render(follow = true) {
      const stop = here();
      const step = scene.steps[stop.step];
      const letters = scene.phases[stop.phase];
      if (scene.drawnPhase !== stop.phase) {
        flow.redraw(letters);
        scene.drawnPhase = stop.phase;
      }
      const hidden = state.guess && state.shown !== state.at && !stop.again && step.op !== "input";
      light(stop, hidden);
      slider.value = state.at;
      slider.setAttribute("aria-valuetext", `${data.phases[stop.phase][0]}，第 ${state.at + 1} 步，${step.op}`);
      part.value = stop.phase;
      count.textContent = `${state.at + 1} / ${scene.walk.length}`;
      guessing.checked = state.guess;
      root.classList.toggle("rz-guessing", Boolean(hidden));
      say.replaceChildren(...sentence(stop, step, letters));
      change.replaceChildren(...shapes(stop, step, letters, hidden));
      cache.replaceChildren(flow.cache(filled(stop)));
      if (HEADED.test(step.key) && state.viewed !== state.at) viewOf(step);
      state.viewed = state.at;
      drawHead(stop);
      showLine(step, letters, hidden, follow && !calm.matches);
      if (follow) scrollTo(stop.step);
      save();
    }

    function light(stop, hidden) {
      const groups = drawing.querySelectorAll("[data-step]");
      groups.forEach((group, i) => {
        group.classList.toggle("rz-now", i === stop.step && !stop.again);
        group.classList.toggle("rz-again", Boolean(stop.again) && AGAIN.includes(scene.steps[i].key));
        group.classList.toggle("rz-veiled", hidden && i >= stop.step);
      });
      for (const edge of drawing.querySelectorAll(".rz-edge")) {
        const loop = edge.classList.contains("rz-loop");
        const loops = stop.again || (stop.phase > 0 && ["input", "past"].includes(scene.steps[stop.step].op))
          || ["unsqueeze", "tuple"].includes(scene.steps[stop.step].op);
        edge.classList.toggle("rz-lit", loop ? loops : Number(edge.dataset.to) === stop.step && !stop.again);
      }
    }

    function sentence(stop, step, letters) {
      const phase = data.phases[stop.phase][0];
      const text = stop.again || step.captions[Math.min(stop.phase, step.captions.length - 1)];
      const words = flow.filled(text, letters).split("**").map((piece, i) => (i % 2 ? html("b", {}, piece) : piece));
      const layer = stop.layers ? [html("b", {}, `${stop.layers}：`)] : [];
      const link = data.links[step.op] || data.links[step.kind] || data.links[step.function];
      const where = html("span", { className: "rz-where" }, html("b", {}, phase), ` · 这一步 T = ${letters.T}，S = ${letters.S} · 第 ${step.line} 行 · `, html("code", {}, step.key.includes(".") || step.key === step.op ? step.op : `${step.op} ${step.key}`));
      if (link) where.append(" · ", html("a", { href: link }, "讲这一步的笔记"));
      return [where, html("p", {}, ...layer, ...words)];
    }

    // 前 → 后
    function shapes(stop, step, letters, hidden) {
      const before = step.sources.map(([index]) => scene.steps[index]);
      const cards = before.slice(0, 3).flatMap((source, i) => [
        ...(i ? [html("span", { className: "rz-and" }, "与")] : []), card(source, source.shapes[0], letters),
      ]);
      const after = hidden ? question(step, letters) : card(step, step.shapes[0], letters);
      return [...cards, cards.length ? html("span", { className: "rz-to" }, "→") : "", after];
    }

    function card(step, shape, letters) {
      const unit = Math.min(7, 46 / Math.max(...flow.dims(shape).map((dim) => (
        flow.lengths(dim, letters, 1).reduce((sum, p) => sum + p.length, 0))), 1));
      const made = flow.block(shape, letters, unit);
      const picture = flow.svg("svg", { width: made.width + 4, height: made.height + 4, viewBox: `-2 -2 ${made.width + 4} ${made.height + 4}`, "aria-hidden": "true" }, made.group);
      return html("div", { className: "rz-card" }, picture,
        html("span", {}, step.name ? html("code", {}, step.name) : step.op),
        html("span", {}, flow.times(step), " ", flow.coloured(shape)), html("samp", {}, flow.numbers(shape, letters)));
    }

    function question(step, letters) {
      const field = html("input", { className: "rz-guess", placeholder: "(B, H, T, D) 或 2×4×6×8", autocomplete: "off", spellcheck: false });
      field.setAttribute("aria-label", "这一步得到的形状");
      const told = html("small", { role: "alert" });
      const reveal = () => { state.shown = state.at; render(); play.focus({ preventScroll: true }); };
      const ask = html("form", { className: "rz-card rz-ask" }, html("span", {}, step.name ? html("code", {}, step.name) : step.op, " 是什么形状？"),
        field, html("span", {}, html("button", { type: "submit" }, "对不对"), button("看答案", "看答案", reveal)), told);
      ask.addEventListener("submit", (event) => {
        event.preventDefault();
        const wrong = flow.judge(field.value, step.shapes[0], letters);
        if (wrong) told.textContent = wrong;
        else reveal();
      });
      return ask;
    }

    function filled(stop) {
      const { L, T } = scene.letters;
      const letters = scene.phases[stop.phase];
      const order = scene.steps.findIndex((s) => s.op === "append");
      const layers = stop.again ? L : stop.step < order ? 0 : stop.upto || (stop.step === order ? 1 : L);
      const rounds = data.phases.length - 1;
      return { L, T, total: T + rounds, past: letters.past, now: letters.T, layers, tokens: isSmall() ? data.small.tokens : null };
    }

    const isSmall = () => state.preset === data.presets[0][0];

    // ---- 一个头
    function headPanel() {
      const { heads } = data.small;
      const note = html("p", { className: "rz-note" });
      const which = html("select", { onchange: () => { state.head = which.value; render(false); } },
        ...heads[0].flatMap((layer, l) => layer.map((_, h) => html("option", { value: `${l}.${h}` }, `第 ${l + 1} 层 · 第 ${h + 1} 个头`))));
      which.setAttribute("aria-label", "哪个头");
      const view = html("select", { onchange: () => { state.view = view.value; render(false); } },
        ...Object.entries(flow.views).map(([value, text]) => html("option", { value }, text)));
      view.setAttribute("aria-label", "看什么");
      headBox.append(html("summary", {}, "打开一个头：小模型在六个词元上真的分数"), note,
        html("div", { className: "rz-head-row" }, which, view), html("div", { className: "rz-head-table" }));
      headBox.firstChild.addEventListener("click", () => { // 此时还没有开合
        state[headBox.classList.contains("rz-hot") ? "open" : "pinned"] = !headBox.open;
        save();
      });
      Object.assign(headBox, { which, view, note });
    }
    function viewOf(step) {
      state.view = /^scores\.(matmul|mul)$/.test(step.key) ? "scores" : step.key === "scores.masked_fill" ? "mask" : "weights";
    }
    function drawHead(stop) {
      headBox.which.value = state.head;
      const own = isSmall() ? "" : "这是小模型的，与上面选的尺寸无关。";
      headBox.note.textContent = `${own}一批两条，只画第一条；层与头都从 1 数。`;
      headBox.view.value = state.view;
      const [layer, head] = state.head.split(".").map(Number);
      headBox.querySelector(".rz-head-table").replaceChildren(flow.head(data.small, { round: stop.phase, layer, head, view: state.view }));
      const hot = HEADED.test(scene.steps[stop.step].key) && !stop.again;
      headBox.classList.toggle("rz-hot", hot);
      headBox.open = hot ? state.open : state.pinned;
    }

    // ---- 代码那一行
    const shown = (step) => [step.name || step.op, flow.times(step)].filter(Boolean).join(" ");
    function showLine(step, letters, hidden, smooth) {
      codeBox.querySelectorAll(".rz-now").forEach((line) => line.classList.remove("rz-now"));
      for (const line of codeLines.values()) line.lastChild.textContent = "";
      for (const other of hidden ? [] : scene.steps) {
        const line = codeLines.get(other.line);
        if (line) line.lastChild.textContent = `${shown(other)} ${flow.numbers(other.shapes[0], letters)}`;
      }
      const line = codeLines.get(step.line);
      if (!line) return;
      line.classList.add("rz-now");
      if (!hidden) line.lastChild.textContent = `${shown(step)} ${flow.numbers(step.shapes[0], letters)}`;
      const top = line.offsetTop - codeBox.clientHeight / 3;
      codeBox.scrollTo({ top, behavior: smooth ? "smooth" : "auto" });
    }

    // 亮着的框不在眼前，才滚过去
    function scrollTo(index) {
      const rect = drawing.querySelector(`[data-step="${index}"]`).getBoundingClientRect();
      const sheet = getComputedStyle(side).position === "fixed" ? side.offsetHeight : 0;
      const low = innerHeight - sheet - 40;
      if (rect.top > 90 && rect.bottom < low) return;
      const end = drawing.getBoundingClientRect().bottom - innerHeight; // 旁边那一栏不被顶出去
      const top = scrollY + Math.min(rect.top - 90 - (low - 90) * 0.35, sheet ? Infinity : end);
      window.scrollTo({ top, behavior: calm.matches ? "auto" : "smooth" });
    }

    // ---- 一直走
    function toggle() {
      if (timer) return stop();
      if (state.at >= scene.walk.length - 1) go(0);
      timer = setInterval(() => {
        if (root.classList.contains("rz-guessing")) return;
        if (state.at >= scene.walk.length - 1) stop();
        else go(state.at + 1, "clock");
      }, 1700);
      play.textContent = "⏸";
      play.title = "停下";
    }
    function stop() {
      clearInterval(timer);
      timer = 0;
      play.textContent = "▶";
      play.title = "走下去";
    }

    // ---- 读者改了尺寸
    function changed(name, value) {
      stop();
      if (name === "preset") choose(state, data, value);
      else {
        state.values[name] = value;
        state.preset = OWN;
      }
      build();
      save();
    }

    function save() {
      const url = new URL(location);
      for (const [name, value] of Object.entries(saved(state, data, scene))) {
        if (value === "") url.searchParams.delete(name);
        else url.searchParams.set(name, value);
      }
      if (url.href !== location.href) history.replaceState(history.state, "", url);
    }

    document.addEventListener("keydown", (event) => {
      const moves = { ArrowLeft: -1, ArrowRight: 1 };
      if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
      if (event.target.closest("input, select, textarea, [contenteditable], .rz-flow-code")) return;
      const { top, bottom } = drawing.getBoundingClientRect();
      if (bottom < 0 || top > innerHeight) return;
      event.preventDefault();
      go(state.at + moves[event.key]);
    });
    addEventListener("beforeprint", () => listHolder.setAttribute("open", ""));
    new IntersectionObserver((entries) => side.classList.toggle("rz-away", !entries.at(-1).isIntersecting), { rootMargin: "-30% 0px -10% 0px" })
      .observe(drawing);
    new ResizeObserver(() => {
      if (scene.steps && Math.abs(drawing.clientWidth - scene.width) > 2) draw();
    }).observe(drawing);
    build();
    if (!scene.steps) { // 网址里的尺寸不成立：从小模型开始
      choose(state, data, data.presets[0][0]);
      build();
    }
    if (new URL(location).searchParams.has("step")) scrollTo(here().step);
  }

  // 走的路：每一段的每一步；其余各层各一步，太多就合起来；后几次解码各一步
  function walk(data, steps, L) {
    return data.phases.flatMap(([, , again], phase) => {
      if (again) return [{ phase, step: steps.findIndex((s) => s.key === "k.cat"), again }];
      return steps.flatMap((step, index) => {
        if (step.op !== "layers") return [{ phase, step: index }];
        const each = [...Array(Math.min(L - 1, 2)).keys()].map((n) => (
          { phase, step: index, upto: n + 2, layers: `第 ${n + 2} 层` }));
        return L > 3 ? [...each, { phase, step: index, upto: L, layers: `第 4–${L} 层` }]
          : L === 3 ? each : each.slice(0, L - 1);
      });
    });
  }

  function sample(kind) {
    const line = flow.svg("path", { d: "M2 6H34", class: `rz-edge rz-${kind}` });
    const out = flow.svg("path", { d: "M2 6H34", class: "rz-edge rz-cache-out" });
    const parts = kind === "cache" ? [out, line] : [line];
    return flow.svg("svg", { width: 36, height: 12, "aria-hidden": "true" }, ...parts);
  }

  function choose(state, data, name) {
    state.preset = name;
    const preset = data.presets.find(([known]) => known === name);
    if (!preset) return;
    const [, , family, letters] = preset;
    Object.assign(state.values, letters, { family });
  }

  // ---- 网址 ?step=…&preset=…
  function saved(state, data, scene) {
    const own = state.preset === OWN;
    const values = data.letters.map(([name]) => `${name}${state.values[name]}`).join("-");
    return {
      step: state.at ? state.at : "",
      preset: own || state.preset === data.presets[0][0] ? "" : state.preset,
      sizes: own && scene.steps ? `${state.values.family}-${values}` : "",
      attention: state.values.backend === data.choices[1][2][0] ? "" : state.values.backend,
      guess: state.guess ? 1 : "",
      head: state.pinned ? "on" : state.open ? "" : "off",
    };
  }

  function restored(data) {
    const given = new URL(location).searchParams;
    const state = { at: Number(given.get("step")) || 0, guess: given.has("guess"), shown: -1, head: "0.2", view: "weights" };
    state.open = given.get("head") !== "off"; // 走到打分的几步，自己打开
    state.pinned = given.get("head") === "on";
    state.values = { backend: data.choices[1][2][0] };
    choose(state, data, data.presets[0][0]);
    if (data.presets.some(([name]) => name === given.get("preset"))) choose(state, data, given.get("preset"));
    if (data.choices[1][2].includes(given.get("attention"))) state.values.backend = given.get("attention");
    const [family, ...sizes] = (given.get("sizes") || "").split("-");
    if (data.choices[0][2].includes(family)) {
      state.preset = OWN;
      state.values.family = family;
      for (const size of sizes) if (size[0] in state.values) state.values[size[0]] = size.slice(1);
    }
    return state;
  }

  for (const root of document.querySelectorAll(".rz-flow[data-flow]")) viewer(root);
})();
