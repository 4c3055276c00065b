// 张量流旁边的几块：填尺寸、合计、缓存、一个头、代码、步骤清单。都只画，不记状态。
(() => {
  const flow = (window.rizhiFlow ||= {});
  const { html } = flow;

  function scaled(value, step, units) {
    let index = 0;
    let short = value;
    while (short >= step && index < units.length - 1) {
      short /= step;
      index += 1;
    }
    return `${index ? short.toPrecision(3) : short} ${units[index]}`.trim();
  }
  const AS = {
    count: (n) => scaled(n, 1000, ["", "K", "M", "G", "T", "P", "E"]),
    bytes: (n) => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]),
  };

  // ---- 填尺寸：预设一组单选，其余各一栏；不对的话写在那一栏底下
  flow.form = (data, changed) => {
    const fields = {};
    const say = {};
    const label = (name, words, control) => {
      say[name] = html("small", { id: `rz-say-${name}`, className: "rz-say" });
      control.setAttribute("aria-describedby", `rz-say-${name}`);
      fields[name] = control;
      const letter = html("b", {}, name);
      letter.style.color = flow.colour(name);
      const head = /^[A-Z]$/.test(name) && !/[OW]/.test(name) ? [letter, ` ${words}`] : [words];
      return html("label", { className: `rz-field rz-field-${name}` }, html("span", {}, ...head), control, say[name]);
    };
    const select = (name, options) => html("select", { name },
      ...options.map(([text, value]) => html("option", { value }, text)));
    const rows = [
      ...data.letters.map(([name, words, value, min]) => label(name, words, Array.isArray(value)
        ? select(name, value)
        : html("input", { name, type: "number", min, value, inputMode: "numeric", required: true }))),
      ...data.choices.map(([name, words, values]) => label(name, words, select(name, values.map((v) => [v, v])))),
    ];
    const presets = html("div", { className: "rz-presets", role: "radiogroup" });
    presets.setAttribute("aria-label", "尺寸照谁的");
    const names = [...data.presets.map(([name]) => name), "自己填"];
    for (const name of names) {
      const radio = html("input", { type: "radio", name: "preset", value: name });
      presets.append(html("label", {}, radio, html("span", {}, name)));
    }
    const from = html("p", { className: "rz-from" });
    const form = html("form", { className: "rz-flow-form" }, presets, from, html("div", { className: "rz-fields" }, ...rows));
    form.addEventListener("input", (event) => changed(event.target.name, event.target.value));
    form.addEventListener("submit", (event) => event.preventDefault());
    const show = (state, wrong) => {
      const preset = data.presets.find(([name]) => name === state.preset);
      from.textContent = preset ? `来源：${preset[1]}` : "自己填的尺寸";
      for (const radio of presets.querySelectorAll("input")) radio.checked = radio.value === state.preset;
      for (const [name, field] of Object.entries(fields)) {
        if (field !== document.activeElement) field.value = state.values[name];
        say[name].textContent = wrong[name] || "";
        field.setAttribute("aria-invalid", Boolean(wrong[name]));
      }
    };
    return { form, show };
  };

  // 哪几栏不对：名字 → 说什么；`letters` 里已有 R
  flow.problems = (data, values, derived) => {
    const wrong = {};
    const letters = Object.fromEntries(data.letters.map(([name]) => [name, Number(values[name])]));
    for (const [name, , , least] of data.letters) {
      const ok = Number.isSafeInteger(letters[name]) && letters[name] >= (least ?? 0);
      if (!ok) wrong[name] = `应为整数，至少 ${least}`;
    }
    for (const [name, text] of Object.entries(derived)) letters[name] = flow.evaluate(text, letters);
    for (const [divisor, name, words] of data.divides) {
      const field = name === "R" ? "D" : name;
      const by = flow.evaluate(divisor, letters);
      if (!wrong[field] && !wrong[divisor] && letters[name] % by) wrong[field] = flow.filled(words, letters);
    }
    return { wrong, letters };
  };

  // ---- 合计：各项加得起来
  flow.totals = (data, rows, phases) => {
    const [first, second] = phases;
    const cell = (value, unit) => html("td", { title: value.toLocaleString("en") }, value ? AS[unit](value) : "–");
    const columns = [[1, "count", first], [2, "count", first], [2, "count", second], [3, "bytes", second]];
    const sum = columns.map(() => 0);
    const body = rows.map((row) => html("tr", {}, html("th", { scope: "row" }, row[0]),
      ...columns.map(([index, unit, letters], i) => {
        const value = flow.evaluate(row[index], letters);
        sum[i] += value;
        return cell(value, unit);
      })));
    const names = ["", "参数", `prefill ${first.T} 个的浮点运算`, "decode 1 个的浮点运算", `${second.S} 个词元的缓存`];
    const last = html("tr", { className: "rz-sum" }, html("th", { scope: "row" }, "合计"),
      ...sum.map((value, i) => cell(value, columns[i][1])));
    return html("table", { className: "rz-flow-totals" },
      html("thead", {}, html("tr", {}, ...names.map((name) => (name ? html("th", { scope: "col" }, name) : html("td"))))),
      html("tbody", {}, ...body, last));
  };

  // ---- 缓存：一行一层，一列一个词元；填到哪一格，看走到哪一步
  const few = (count, most, head, tail) => {
    const all = [...Array(count).keys()];
    return count <= most ? all : [...all.slice(0, head), -1, ...all.slice(count - tail)];
  };
  flow.cache = ({ L, T, total, past, now, layers, tokens }) => {
    const rows = few(L, 5, 2, 2);
    const columns = few(total, 10, 3, 5);
    const grid = html("div", { className: "rz-cache-grid", role: "img" });
    grid.style.gridTemplateColumns = `4.4em repeat(${columns.length}, minmax(0, 1.7em))`;
    const numbered = (c) => (c >= T ? `+${c - T + 1}` : c < 3 || total < 11 ? c : "");
    const name = (c) => (c < 0 ? "…" : tokens ? tokens[c] ?? "" : numbered(c));
    grid.append(html("i", {}), ...columns.map((c) => html("i", { className: c < past + now ? "" : "rz-later" }, String(name(c)))));
    for (const layer of rows) {
      grid.append(html("i", {}, layer < 0 ? "…" : `第 ${layer + 1} 层`));
      for (const c of columns) {
        const kept = c < past;
        const fresh = !kept && c < past + now && layer < layers;
        const blank = layer < 0 || c < 0;
        grid.append(html("u", { className: blank ? "rz-skip" : kept ? "rz-kept" : fresh ? "rz-fresh" : "" }, blank ? "…" : ""));
      }
    }
    const filled = layers ? `这一步已填 ${layers} 层，各 ${past + now} 个词元` : "这一步还没有填";
    grid.setAttribute("aria-label", `缓存：${L} 层，过去 ${past} 个词元；${filled}`);
    return html("div", { className: "rz-cache-box" },
      html("p", { className: "rz-cap" }, "缓存 all_presents", html("small", {}, ` 过去 ${past} · ${filled}${tokens ? " · 只画第一条" : ""}`)), grid);
  };

  // ---- 一个头：真的分数、掩码与权重
  const VIEWS = { scores: "分数", mask: "加掩码", weights: "权重" };
  flow.views = VIEWS;
  flow.head = (small, { round, layer, head, view }) => {
    const [scores, weights] = small.heads[round][layer][head];
    const mask = small.masks[round];
    const table = view === "weights" ? weights : scores;
    const past = table[0].length - table.length;
    const most = Math.max(...scores.flat().map(Math.abs), 0.01);
    const key = (i) => small.tokens[i];
    const cell = (value, t, s) => {
      const hidden = view !== "scores" && mask[t][s] === "0";
      const node = html("td", { className: hidden ? "rz-hidden" : "" }, hidden ? "" : value.toFixed(2).replace(/^(-?)0\./, "$1."));
      node.title = `查询 ${key(past + t)}，键 ${key(s)}：${hidden ? "看不见" : value.toFixed(2)}`;
      const strength = Math.min(Math.abs(value) / (view === "weights" ? 1 : most), 1);
      if (!hidden) node.style.setProperty("--rz-heat", `${Math.round(strength * 70)}%`);
      node.dataset.sign = value < 0 ? "-" : "+";
      return node;
    };
    return html("table", { className: "rz-heat-table" },
      html("caption", {}, `${VIEWS[view]}，${table.length}×${table[0].length}：一行一个查询，一列一个键`),
      html("thead", {}, html("tr", {}, html("td"), ...table[0].map((_, s) => html("th", { scope: "col" }, key(s))))),
      html("tbody", {}, ...table.map((row, t) => html("tr", {},
        html("th", { scope: "row" }, key(past + t)), ...row.map((value, s) => cell(value, t, s))))));
  };

  // 一行代码上色：类名照 Pygments 的，颜色便与别处的代码相同
  const WORDS = "def return if else elif for in not and or is with break";
  const TOKENS = [["s2", /"[^"]*"/], ["kc", /\b(?:None|True|False)\b/], ["k", new RegExp(`\\b(?:${WORDS.replaceAll(" ", "|")})\\b`)], ["mi", /\b\d[\d.]*/]];
  const TOKEN = new RegExp(TOKENS.map(([, pattern]) => `(${pattern.source})`).join("|"), "g");
  function painted(text) {
    const parts = [];
    let end = 0;
    for (const found of text.matchAll(TOKEN)) {
      const kind = TOKENS[found.slice(1).findIndex(Boolean)][0];
      parts.push(text.slice(end, found.index), html("span", { className: kind }, found[0]));
      end = found.index + found[0].length;
    }
    return [...parts, text.slice(end)];
  }

  // ---- 代码：他自己的 llm，逐行
  flow.code = (data, jump) => {
    const lines = new Map();
    const box = html("div", { className: "rz-flow-code highlight", tabIndex: 0, role: "region" });
    box.setAttribute("aria-label", `${data.file} 的源码`);
    for (const [name, code] of data.source) {
      box.append(html("p", { className: "rz-cap" }, name));
      for (const [number, text] of code) {
        const [, plain, note = ""] = text.match(/^(.*?)(\s+# .*)?$/);
        const line = html("div", { className: "rz-line" }, html("i", {}, String(number)),
          html("code", {}, ...painted(plain || " "), html("s", {}, note)), html("samp", {}));
        line.dataset.line = number;
        line.addEventListener("click", () => jump(number));
        lines.set(number, line);
        box.append(line);
      }
    }
    return { box, lines };
  };

  // ---- 步骤清单：图的文字替代，打印出来的也是它
  flow.list = (steps, phases, data) => html("ol", { className: "rz-flow-list" }, ...steps.map((step) => {
    const sizes = phases.map((letters) => flow.numbers(step.shapes[0], letters));
    const both = step.captions.length > 1;
    const words = step.captions.map((text, i) => (
      (both ? `${["prefill", "decode"][i]}：` : "") + flow.filled(text, phases[i]).replace(/\*\*/g, "")));
    const shape = [step.name || "结果", flow.times(step), flow.written(step.shapes[0])].filter(Boolean).join(" ");
    return html("li", {}, html("b", {}, step.op), ` → ${shape}，prefill ${sizes[0]}，decode ${sizes[1]}`,
      html("small", {}, `（${data.file} 第 ${step.line} 行）`), html("br"), words.join(" "));
  }));
})();
