// 张量流的查看器：图与逐行的尺寸。一切都在块自己的 data-flow 里，是 JSON，这里只把字母换成读者填的数。
// 数据是一个片段的输出（见 flow 围栏）：choices 选哪一张图；letters、divides 是读者填的字母与
// 它们要满足的；sides 是并排的几列；totals 与各图里的式子对应；boxes、values、source 是框、
// 行上的值与源码；links 是函数、种类、模块通到的页，构建时已换成网址。
(() => {
  function flow(root) {
    const data = JSON.parse(root.dataset.flow);
    if (!data.sides) return; // 不是张量流的数据：文字留在那里
    for (const [name, link] of Object.entries(data.links)) {
      if (!/^(https?|file):$/.test(new URL(link, location).protocol)) delete data.links[name];
    }
    const SIDES = data.sides.map(([name]) => name);
    const classOf = (side) => `rz-side-${SIDES.indexOf(side)}`;
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

    // 一个式子的值：字母、整数、乘积、相加、整除
    function evaluate(expression, letters) {
      const factor = (text) => {
        const [name, divisor] = text.split("/");
        return Math.floor((/^\d+$/.test(name) ? Number(name) : letters[name]) / (divisor || 1));
      };
      const product = (term) => term.split("*").map(factor).reduce((a, b) => a * b, 1);
      return expression.split("+").map(product).reduce((a, b) => a + b, 0);
    }

    const dims = (text) => text.match(/[^(), ]+/g) || [];
    const size = (text, letters) => dims(text).map((d) => evaluate(d, letters)).join("×");

    const filled = (words, letters) => words.replace(/\{(\w+)\}/g, (_, name) => letters[name]);

    function read() {
      const letters = Object.fromEntries(data.letters.map(([n]) => [n, Number(inputs[n].value)]));
      const chosen = data.choices.map(([name]) => inputs[name].value);
      const variant = chosen.reduce((node, value) => node[value], data.variants);
      for (const [name, text] of Object.entries(variant.letters)) {
        letters[name] = evaluate(text, letters);
      }
      const wrong = data.letters
        .filter(([n, , , least]) => !Number.isSafeInteger(letters[n]) || letters[n] < least)
        .map(([name, , , least]) => `${name} 应为整数，${least ? "至少" : "不小于"} ${least}`);
      for (const [divisor, name, words] of data.divides) {
        if (letters[name] % evaluate(divisor, letters)) wrong.push(filled(words, letters));
      }
      const sides = data.sides.map(([side, , changed]) => {
        const own = Object.entries(changed).map(([name, text]) => [name, evaluate(text, letters)]);
        return [side, { ...letters, ...Object.fromEntries(own) }];
      });
      return { wrong, variant, lines: lines(variant), letters: Object.fromEntries(sides) };
    }

    // 每一列：行号 → 这一行上的 [变量, 形状]
    function lines(variant) {
      const found = Object.fromEntries(SIDES.map((side) => [side, {}]));
      for (const [line, name, shape, only] of variant.values.map((index) => data.values[index])) {
        for (const side of only ? [only] : SIDES) (found[side][line] ||= []).push([name, shape]);
      }
      return found;
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

    const shownAs = { count, bytes };

    function controls() {
      const form = html("form", { className: "rz-flow-form" });
      const choose = (name, label, options) => {
        const items = options.map(([text, value]) => html("option", { value }, text));
        inputs[name] = html("select", { name }, ...items);
        form.append(html("label", {}, html("span", {}, label), inputs[name]));
      };
      for (const [name, label, values] of data.choices) {
        choose(name, label, values.map((value) => [value, value]));
      }
      for (const [name, label, value, min] of data.letters) {
        if (Array.isArray(value)) {
          choose(name, label, value);
          continue;
        }
        inputs[name] = html("input", { name, type: "number", min, value, required: true });
        const words = html("span", {}, html("b", {}, name), ` ${label}`);
        form.append(html("label", {}, words, inputs[name]));
      }
      form.addEventListener("input", update);
      form.addEventListener("submit", (event) => event.preventDefault());
      return form;
    }

    function totals(state) {
      const heads = SIDES.map((side) => (
        html("th", { scope: "col", className: classOf(side) }, side)
      ));
      const rows = data.totals.map(([label, unit], i) => {
        const values = SIDES.map((side) => evaluate(state.variant.totals[i], state.letters[side]));
        const texts = values.map(shownAs[unit]);
        const cells = values.every((value) => value === values[0])
          ? [html("td", { colSpan: SIDES.length }, texts[0])]
          : texts.map((text, j) => html("td", { className: classOf(SIDES[j]) }, text));
        return html("tr", {}, html("th", { scope: "row" }, label), ...cells);
      });
      return html(
        "table",
        { className: "rz-flow-totals" },
        html("thead", {}, html("tr", {}, html("td"), ...heads)),
        html("tbody", {}, ...rows),
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

    function boxOf([index, sources]) {
      const [title, module, name, line, letters, kind, only] = data.boxes[index];
      const link = data.links[kind] || data.links[name];
      return { title, module, name, line, letters, kind, only, link, inputs: sources };
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
      const place = `${data.file} 第 ${box.line} 行`;
      const full = svg("title", {}, `${box.module || box.name}：${box.title}，${place}`);
      group.append(full, svg("rect", { x: box.x, y: box.y, width: box.w, height: HIGH, rx: 5 }));
      const name = text(box.x + 6, box.y + 14, fit(box.title, box.w), "rz-name");
      const at = text(box.x + box.w - 5, box.y + 14, box.line, "rz-at");
      const note = box.link ? svg("a", { href: box.link }, name) : name;
      const line = svg("a", { href: `#rz-line-${box.line}` }, at);
      group.append(note, line, text(box.x + 6, box.y + 28, box.letters.join(" "), "rz-letters"));
      SIDES.forEach((side, i) => {
        const sizes = box.letters.map((shape) => size(shape, state.letters[side]));
        const shown = box.only && box.only !== side ? "没有" : sizes.join(" ");
        group.append(text(box.x + 6, box.y + 42 + 13 * i, shown, `rz-size ${classOf(side)}`));
      });
      return group;
    }

    function diagram(state) {
      const boxes = state.variant.boxes.map(boxOf);
      const [repeated, times] = data.repeat;
      const inLayer = (box) => box.module.includes(repeated);
      const height = layout(boxes, inLayer) * (HIGH + GAP);
      const picture = svg("svg", { viewBox: `0 0 ${W} ${height}`, class: "rz-flow-svg" });
      picture.setAttribute("role", "group"); // 里面有链接，不是一张不可分的图
      picture.setAttribute("aria-label", data.title);
      const layer = boxes.filter(inLayer);
      const top = Math.min(...layer.map((box) => box.y)) - 16;
      const bottom = Math.max(...layer.map((box) => box.y)) + HIGH + 8;
      const head = { id: "rz-arrow", viewBox: "0 0 6 6", refX: 5, refY: 3, orient: "auto" };
      Object.assign(head, { markerWidth: 6, markerHeight: 6 });
      picture.append(
        svg("defs", {}, svg("marker", head, svg("path", { d: "M0 0L6 3L0 6Z" }))),
        svg("rect", { x: 1, y: top, width: W - 2, height: bottom - top, rx: 8, class: "rz-layer" }),
        text(W - 8, bottom - 8, filled(times, state.letters[SIDES[0]]), "rz-times"),
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
      return html("span", { className: classOf(side) }, ...spaced);
    }

    function sourceLine([number, code], state) {
      const rows = SIDES.map((side) => state.lines[side][number]);
      const line = html("div", { id: `rz-line-${number}`, className: "rz-flow-line" });
      line.append(html("code", {}, html("i", {}, String(number)), code || " "));
      if (rows.some(Boolean)) {
        const ran = SIDES.filter((_, i) => rows[i]);
        const chips = ran.map((side) => chip(side, state.lines[side][number], state.letters[side]));
        line.append(html("p", {}, ...chips));
      }
      return line;
    }

    function listing(state) {
      return data.source.map(([name, code]) => {
        const ran = code.some(([number]) => SIDES.some((side) => state.lines[side][number]));
        const full = `${data.module}.${name}`;
        const page = data.links[data.module];
        const link = page ? html("a", { href: `${page}#${full}` }, full) : full;
        const heading = html("span", { className: "rz-title" }, link);
        const bar = html("div", { className: "rz-bar" }, heading);
        if (!ran) bar.append(html("span", { className: "rz-file" }, "这次没有用到"));
        const listed = code.map((line) => sourceLine(line, state));
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
    for (const [side, words] of data.sides) {
      key.append(html("span", { className: classOf(side) }, words));
    }
    root.replaceChildren(controls(), trouble, key, output);
    update();
  }

  for (const root of document.querySelectorAll(".rz-flow[data-flow]")) flow(root);
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target) target.scrollIntoView();
})();
