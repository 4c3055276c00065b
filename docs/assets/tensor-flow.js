// 张量流：图与逐行的尺寸。数据是 llm.lab.flow 跟踪出来的，这里只把字母换成读者填的数。
(() => {
  const root = document.getElementById("rz-flow");
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const data = window.rizhiFlow;
  const NOTES = {
    "RMSNorm.forward": "model/rmsnorm",
    "RotaryEmbedding.forward": "attention/rope",
    apply_rotary: "attention/rope",
    attention_mask: "attention/attention-mask",
    repeat_kv: "attention/repeat-kv",
    attention_weights: "attention/masked-fill",
    "Attention.forward": "attention/multi-head-merge",
    "FeedForward.forward": "model/swiglu",
    "TransformerBlock.forward": "model/transformer-block",
    "LLMModel.forward": "model/transformer-block",
    "LLMForCausalLM.forward": "model/causal-lm",
    greedy_generate: "model/generate",
  };
  const CACHE = "attention/kv-cache";
  const KINDS = [
    [/^(k, v|layer_past)$/, "cache"],
    [/Rotary|rotary/, "rope"],
    [/norm$/, "norm"],
  ];
  const SIDES = ["prefill", "decode"];
  const FIELDS = [
    ["B", "批大小", 1],
    ["T", "prefill 送进的词元", 16],
    ["past", "decode 之前的词元", 16],
    ["L", "层数", 8],
    ["C", "宽度", 512],
    ["H", "查询头", 8],
    ["K", "键值头", 2],
    ["D", "头宽", 64],
    ["I", "前馈内宽", 1408],
    ["V", "词表", 6400],
  ];
  const inputs = {};

  function html(tag, attributes = {}, ...children) {
    const node = Object.assign(document.createElement(tag), attributes);
    node.append(...children);
    return node;
  }

  function svg(tag, attributes = {}, ...children) {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  }

  // 一个式子的值：与 llm.lab.shapes.evaluate 相同
  function evaluate(expression, letters) {
    const factor = (text) => {
      const [name, divisor] = text.split("/");
      return Math.floor((/^\d+$/.test(name) ? Number(name) : letters[name]) / (divisor || 1));
    };
    const product = (term) => term.split("*").map(factor).reduce((a, b) => a * b, 1);
    return expression.split("+").map(product).reduce((a, b) => a + b, 0);
  }

  const dims = (text) => text.replace(/[()]/g, "").split(",").map((d) => d.trim()).filter(Boolean);
  const size = (text, letters) => dims(text).map((d) => evaluate(d, letters)).join("×");

  function read() {
    const letters = Object.fromEntries(FIELDS.map(([name]) => [name, Number(inputs[name].value)]));
    const family = data.families[inputs.family.value];
    letters.R = evaluate(family.R, letters);
    const wrong = FIELDS.filter(([name]) => {
      const least = name === "past" ? 0 : 1;
      return !Number.isSafeInteger(letters[name]) || letters[name] < least;
    }).map(([name]) => `${name} 应为整数，${name === "past" ? "不小于 0" : "至少 1"}`);
    if (letters.H % letters.K) wrong.push("H 应是 K 的整数倍：每个键值头配同样多的查询头");
    if (letters.D % 2 || letters.R % 2) {
      wrong.push(`D = ${letters.D}、旋转的宽度 R = ${letters.R} 应为偶数：分量两两配对`);
    }
    const prefill = { ...letters, past: 0, S: letters.T };
    const decode = { ...letters, T: 1, S: letters.past + 1 };
    return { wrong, family, flow: family[inputs.backend.value], letters: { prefill, decode } };
  }

  function cost(family, letters, bytes) {
    let parameters = 0;
    let flops = 4 * letters.L * evaluate("B*H*T*S*D", letters);
    for (const [name, expression] of Object.entries(family.weights)) {
      const count = evaluate(expression, letters) * (name.includes(".layers.") ? letters.L : 1);
      parameters += count;
      if (/(proj|lm_head)\.weight$/.test(name)) flops += 2 * letters.B * letters.T * count;
    }
    return { parameters, flops, cache: 2 * letters.L * evaluate("B*K*S*D", letters) * bytes };
  }

  function scaled(value, step, units) {
    let index = 0;
    let short = value;
    while (short >= step && index < units.length - 1) {
      short /= step;
      index += 1;
    }
    return `${index ? short.toPrecision(3) : short} ${units[index]}`.trim();
  }
  const short = (n) => scaled(n, 1000, ["", "K", "M", "G", "T", "P", "E"]);
  const count = (n) => `${n.toLocaleString("en")}（${short(n)}）`;
  const bytes = (n) => scaled(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB", "PiB"]);

  function controls() {
    const form = html("form", { className: "rz-flow-form" });
    const choose = (name, label, options) => {
      const items = options.map(([value, text]) => html("option", { value }, text));
      inputs[name] = html("select", { name }, ...items);
      form.append(html("label", {}, html("span", {}, label), inputs[name]));
    };
    choose("family", "家族", Object.keys(data.families).map((name) => [name, name]));
    choose("backend", "注意力", [["sdpa", "sdpa"], ["manual", "manual"]]);
    choose("bytes", "数的类型", [["4", "fp32"], ["2", "bf16"]]);
    for (const [name, label, value] of FIELDS) {
      const min = name === "past" ? 0 : 1;
      inputs[name] = html("input", { name, type: "number", min, value, required: true });
      const words = html("span", {}, html("b", {}, name), ` ${label}`);
      form.append(html("label", {}, words, inputs[name]));
    }
    form.addEventListener("input", update);
    form.addEventListener("submit", (event) => event.preventDefault());
    return form;
  }

  function totals(state) {
    const width = Number(inputs.bytes.value);
    const sides = SIDES.map((side) => cost(state.family, state.letters[side], width));
    const row = (label, ...cells) => html("tr", {}, html("th", { scope: "row" }, label), ...cells);
    const cell = (text, side) => html("td", { className: `rz-${side}` }, text);
    const heads = SIDES.map((side) => html("th", { scope: "col", className: `rz-${side}` }, side));
    const both = html("td", { colSpan: 2 }, count(sides[0].parameters));
    return html(
      "table",
      { className: "rz-flow-totals" },
      html("thead", {}, html("tr", {}, html("td"), ...heads)),
      html(
        "tbody",
        {},
        row("参数", both),
        row("浮点运算", ...sides.map((s, i) => cell(count(s.flops), SIDES[i]))),
        row("跑完之后的缓存", ...sides.map((s, i) => cell(bytes(s.cache), SIDES[i]))),
      ),
    );
  }

  // 分层：每个框在它的来处之下；没有来处的，放到用它的那一层之上
  function ranks(boxes, inLayer) {
    const rank = boxes.map(() => 0);
    boxes.forEach((box, i) => {
      for (const source of box.inputs) rank[i] = Math.max(rank[i], rank[source] + 1);
    });
    const outside = boxes.filter(inLayer).flatMap((box) => box.inputs);
    const floor = Math.max(...outside.filter((s) => !inLayer(boxes[s])).map((s) => rank[s])) + 1;
    boxes.forEach((box, i) => {
      if (inLayer(box)) rank[i] = Math.max(rank[i], floor);
      for (const source of box.inputs) rank[i] = Math.max(rank[i], rank[source] + 1);
    });
    boxes.forEach((box, i) => {
      if (i === 0 || box.inputs.length) return;
      const users = boxes.map((user, j) => (user.inputs.includes(i) ? rank[j] : Infinity));
      rank[i] = Math.min(...users) - 1;
    });
    return rank;
  }

  const W = 360;
  const EDGE = 24;
  const HIGH = 62;
  const GAP = 30;

  function layout(boxes, inLayer) {
    const rank = ranks(boxes, inLayer);
    const rows = [];
    boxes.forEach((box, i) => (rows[rank[i]] ||= []).push(i));
    const middle = (i) => {  // 来处的平均位置：按它排，线少交叉
      const sources = boxes[i].inputs.filter((j) => rank[j] < rank[i]);
      const total = sources.reduce((sum, j) => sum + boxes[j].x + boxes[j].w / 2, 0);
      return sources.length ? total / sources.length : W;
    };
    rows.forEach((row, level) => {
      if (level) row.sort((a, b) => middle(a) - middle(b) || a - b);
      const wide = row.length === 1 ? 190 : (W - 2 * EDGE - 8 * (row.length - 1)) / row.length;
      const left = row.length === 1 ? (W - wide) / 2 : EDGE;
      row.forEach((i, place) => {
        const x = left + place * (wide + 8);
        Object.assign(boxes[i], { level, w: wide, x, y: 14 + level * (HIGH + GAP) });
      });
    });
    return rows.length;
  }

  // 相邻两层直连；跨层的从两边绕过去
  function edges(boxes) {
    const lanes = { left: [], right: [] };
    const paths = [];
    boxes.forEach((box) => {
      box.inputs.forEach((source, order) => {
        const from = boxes[source];
        const x1 = from.x + from.w / 2;
        const x2 = box.x + (box.w * (order + 1)) / (box.inputs.length + 1);
        const y1 = from.y + HIGH;
        const far = box.level - from.level > 1;
        if (!far) {
          const middle = (y1 + box.y) / 2;
          paths.push([`M${x1} ${y1}C${x1} ${middle} ${x2} ${middle} ${x2} ${box.y - 1}`, false]);
          return;
        }
        const free = (side) => {
          const lane = lanes[side].findIndex((busy) => busy <= from.level);
          return lane < 0 ? lanes[side].length : lane;
        };
        const near = x1 <= W / 2 ? ["left", "right"] : ["right", "left"];
        const side = free(near[1]) < free(near[0]) ? near[1] : near[0];
        const lane = free(side);
        lanes[side][lane] = box.level;
        const x = side === "left" ? EDGE - 6 - 5 * lane : W - EDGE + 6 + 5 * lane;
        const down = y1 + 8 + 3 * lane;
        const up = box.y - 12 - 3 * lane;
        paths.push([`M${x1 + 6} ${y1}V${down}H${x}V${up}H${x2}V${box.y - 1}`, true]);
      });
    });
    return paths;
  }

  function boxOf([title, module, name, line, prefill, decode, sources]) {
    const kind = KINDS.find(([pattern]) => pattern.test(title));
    const home = /^Attention|attention|repeat/.test(name) ? "attention" : "plain";
    const own = kind ? kind[1] : name.startsWith("FeedForward") ? "mlp" : home;
    const note = own === "cache" ? CACHE : NOTES[name];
    const shown = title.replace("RotaryEmbedding", "rotary_emb").replace("apply_", "");
    const sizes = { prefill, decode };
    return { title: shown, module, name, line, sizes, inputs: sources, kind: own, note };
  }

  function text(x, y, content, className) {
    return svg("text", { x, y, class: className }, content);
  }

  function fit(title, wide) {
    const room = Math.floor((wide - 34) / 6.1);
    const short = title.length > room ? title.replace(/ = .*/, "") : title;
    return short.length > room ? `${short.slice(0, room - 1)}…` : short;
  }

  function drawBox(box, state) {
    const group = svg("g", { class: `rz-box rz-${box.kind}` });
    const place = `llm/model.py 第 ${box.line} 行`;
    const full = svg("title", {}, `${box.module || box.name}：${box.title}，${place}`);
    group.append(full, svg("rect", { x: box.x, y: box.y, width: box.w, height: HIGH, rx: 5 }));
    const name = text(box.x + 6, box.y + 14, fit(box.title, box.w), "rz-name");
    const at = text(box.x + box.w - 5, box.y + 14, box.line, "rz-at");
    const note = svg("a", { href: `${base}../notes/${box.note}.html` }, name);
    const line = svg("a", { href: `#rz-line-${box.line}` }, at);
    const letters = box.sizes.decode.join(" ");
    group.append(note, line, text(box.x + 6, box.y + 28, letters, "rz-letters"));
    SIDES.forEach((side, i) => {
      const shapes = box.sizes[side];
      const shown = shapes ? shapes.map((t) => size(t, state.letters[side])).join(" ") : "没有";
      group.append(text(box.x + 6, box.y + 42 + 13 * i, shown, `rz-size rz-${side}`));
    });
    return group;
  }

  function diagram(state) {
    const boxes = state.flow.graph.map(boxOf);
    boxes[0].title = "input_ids";
    const inLayer = (box) => box.module.includes("layers.0");
    const height = layout(boxes, inLayer) * (HIGH + GAP);
    const picture = svg("svg", { viewBox: `0 0 ${W} ${height}`, class: "rz-flow-svg" });
    picture.setAttribute("role", "group"); // 里面有链接，不是一张不可分的图
    picture.setAttribute("aria-label", "从词元号到下一个词元的张量流");
    const layer = boxes.filter(inLayer);
    const top = Math.min(...layer.map((box) => box.y)) - 16;
    const bottom = Math.max(...layer.map((box) => box.y)) + HIGH + 8;
    const head = { id: "rz-arrow", viewBox: "0 0 6 6", refX: 5, refY: 3, orient: "auto" };
    Object.assign(head, { markerWidth: 6, markerHeight: 6 });
    picture.append(
      svg("defs", {}, svg("marker", head, svg("path", { d: "M0 0L6 3L0 6Z" }))),
      svg("rect", { x: 1, y: top, width: W - 2, height: bottom - top, rx: 8, class: "rz-layer" }),
      text(W - 8, bottom - 8, `一个块 × ${state.letters.prefill.L} 层`, "rz-times"),
    );
    for (const [d, far] of edges(boxes)) {
      const look = far ? "rz-edge rz-far" : "rz-edge";
      picture.append(svg("path", { d, class: look, "marker-end": "url(#rz-arrow)" }));
    }
    for (const box of boxes) picture.append(drawBox(box, state));
    return picture;
  }

  function chip(side, rows, letters) {
    const shown = rows.map(([name, shape]) => [name, size(shape, letters)]);
    const unique = [...new Map(shown.map((pair) => [pair.join(" "), pair])).values()];
    const parts = unique.map(([name, value]) => html("samp", {}, `${name} ${value}`));
    const spaced = parts.flatMap((part, i) => (i ? ["　", part] : [part]));
    return html("span", { className: `rz-${side}` }, ...spaced);
  }

  function sourceLine([number, code], state) {
    const rows = SIDES.map((side) => state.flow[side][number]);
    const line = html("div", { id: `rz-line-${number}`, className: "rz-flow-line" });
    line.append(html("code", {}, html("i", {}, String(number)), code || " "));
    if (rows.some(Boolean)) {
      const ran = SIDES.filter((_, i) => rows[i]);
      const chips = ran.map((side) => chip(side, state.flow[side][number], state.letters[side]));
      line.append(html("p", {}, ...chips));
    }
    return line;
  }

  function listing(state) {
    return data.source.map(([name, lines]) => {
      const ran = lines.some(([number]) => SIDES.some((side) => state.flow[side][number]));
      const full = `llm.model.${name}`;
      const link = html("a", { href: `${base}../reference/model.html#${full}` }, full);
      const heading = html("span", { className: "rz-title" }, link);
      const bar = html("div", { className: "rz-bar" }, heading);
      if (!ran) bar.append(html("span", { className: "rz-file" }, "这次没有用到"));
      const listed = lines.map((line) => sourceLine(line, state));
      const body = html("div", { className: "rz-flow-code" }, ...listed);
      return html("div", { className: ran ? "rz-cell" : "rz-cell rz-flow-idle" }, bar, body);
    });
  }

  const trouble = html("p", { className: "rz-flow-trouble", role: "alert" });
  const output = html("div");

  function update() {
    const state = read();
    trouble.textContent = state.wrong.join("；");
    if (state.wrong.length) return;
    output.replaceChildren(totals(state), diagram(state), ...listing(state));
  }

  const key = html("p", { className: "rz-flow-key" });
  key.append(
    html("span", { className: "rz-prefill" }, "prefill：没有过去，一次送进 T 个词元"),
    html("span", { className: "rz-decode" }, "decode：有 past 个过去，只送进 1 个"),
  );
  root.replaceChildren(controls(), trouble, key, output);
  update();
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) target.scrollIntoView();
})();
