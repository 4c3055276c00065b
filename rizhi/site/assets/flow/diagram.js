// 张量流的图：残差流是脊柱，运算站在边上，张量按比例画；一单位就是一个 CSS 像素。
(() => {
  const flow = (window.rizhiFlow ||= {});
  const { svg } = flow;
  const LANES = [0.13, 0.35, 0.54, 0.73, 0.885];
  const [SPINE, MAIN, KEY, VALUE, CACHE] = LANES.keys();
  const CHIP = 20;
  const LINE = 12;
  const LABEL = 15;
  const GAP = 14;

  const isPlus = (step) => step.op === "add";
  const isChip = (step, steps) => (
    isPlus(step) || step.op === "layers" || (step.op !== "embedding" && step.op !== "cos, sin"
      && carried(step, steps).some((source) => source.shapes[0] === step.shapes[0]))
  );
  const carried = (step, steps) => (
    step.sources.filter(([, kind]) => kind === "data" || kind === "residual")
      .map(([index]) => steps[index])
  );

  // 每一步排在第几行：在来处之下；没有来处的，挨着用它的那一步
  function rank(steps) {
    const row = steps.map(() => 0);
    const users = (index) => steps.flatMap((s, i) => (s.sources.some(([j]) => j === index) ? i : []));
    steps.forEach((step, i) => {
      const above = step.sources.map(([j]) => row[j]);
      row[i] = above.length ? Math.max(...above) + 1 : 0;
      if (step.op === "RMSNorm" && step.lane === MAIN && steps[step.sources[0][0]].kind === "residual") {
        row[i] = Math.max(...row.slice(0, i)) + 1; // 另起一段：分出去之前的都在它上面
      }
      if (step.op === "past" || step.key === "input_ids.input") row[i] = row[i - 1];
      if (step.op === "append") row[i] = Math.max(...row.slice(0, i));
      if (step.op === "tuple") row[i] = row[i - 1];
      if (isPlus(step)) row[i] -= 1;
    });
    steps.forEach((step, i) => {
      if (step.kind === "mask") row[i] = Math.max(row[users(i)[0]] - 2, 0);
    });
    return row;
  }

  function place(steps, width, phases, unit) {
    const row = rank(steps);
    const heights = [];
    steps.forEach((step, i) => {
      step.chip = isChip(step, steps);
      step.row = row[i];
      step.x = Math.round(LANES[step.lane] * width);
      const tall = step.chip ? [0] : phases.map((own) => flow.block(step.shapes[0], own, unit).height);
      [step.size, step.flat] = [Math.max(...tall), Math.min(...tall)];
      step.under = LABEL + (isTall(step) ? LINE + 2 : 0);
      const own = step.chip ? CHIP : (isLeaf(step) ? 0 : CHIP + 7) + step.size + step.under;
      heights[step.row] = Math.max(heights[step.row] || 0, own);
    });
    const tops = [];
    heights.reduce((y, height, i) => ((tops[i] = y), y + height + GAP), 22);
    for (const step of steps) {
      step.y = tops[step.row];
      if (step.op === "add") {
        const branch = steps[step.sources.at(-1)[0]];
        step.y = branch.chip ? branch.y : branch.y + CHIP + 7 + branch.flat / 2 - CHIP / 2;
      }
      if (step.op === "append") step.y = tops[step.row] - 6;
      step.top = step.y + (isLeaf(step) || step.chip ? 0 : CHIP + 7);
      step.mid = step.y + CHIP / 2;
      step.exit = step.op === "past" ? step.top + step.size - step.flat / 2 : step.top + step.flat / 2; // 从旁边出去的线：方块最扁时也接得上
      step.bottom = step.chip ? step.y + CHIP : step.top + step.size + step.under;
      if (isPlus(step)) step.mid = step.y + CHIP / 2;
    }
    return tops.at(-1) + heights.at(-1) + 26;
  }

  // 名字与形状一行放不下，分两行
  const isTall = (step) => Boolean(flow.times(step)) || /[^ -~]/.test(step.name);
  const isLeaf = (step) => step.op === "input" || step.op === "past";

  // 一条边的路：拐角都是圆的
  function round(points) {
    let d = `M${points[0]}`;
    for (let i = 1; i < points.length - 1; i += 1) {
      const [a, b, c] = [points[i - 1], points[i], points[i + 1]];
      const near = (p) => {
        const far = Math.hypot(p[0] - b[0], p[1] - b[1]) || 1;
        const r = Math.min(6, far / 2);
        return [b[0] + ((p[0] - b[0]) * r) / far, b[1] + ((p[1] - b[1]) * r) / far];
      };
      d += `L${near(a)}Q${b} ${near(c)}`;
    }
    return `${d}L${points.at(-1)}`;
  }

  function route(from, to, kind, width) {
    const gutter = (lane) => ((LANES[lane] + LANES[lane + 1]) / 2) * width;
    const reach = 4 + (to.chipWidth || 40) / 2;
    const side = from.x < to.x ? -1 : 1;
    if (kind === "residual") return [[from.x, from.chip ? from.mid : from.bottom - 2], [to.x, to.mid]];
    if (kind === "position" && to.kind !== "position") {
      const x = gutter(MAIN);
      return [[from.x - 22, from.top + 8], [x, from.top + 8], [x, to.mid],
        [to.x + (to.lane === MAIN ? reach : -reach), to.mid]];
    }
    if (from.op === "past") {
      if (to.lane === VALUE) return [[from.x, from.bottom], [from.x, to.mid], [to.x + reach, to.mid]];
      const y = to.y - 7;
      return [[from.x - 8, from.bottom], [from.x - 8, y], [to.x + 14, y], [to.x + 14, to.y - 1]];
    }
    if (to.op === "append") {
      const x = from.lane === KEY ? gutter(KEY) : from.x + (width < 480 ? 38 : 44);
      const y = from.exit;
      const end = to.x + (from.lane === KEY ? -9 : 3);
      return [[from.x, y], [x, y], [x, to.y - (from.lane === KEY ? 14 : 8)],
        [end, to.y - (from.lane === KEY ? 14 : 8)], [end, to.y - 1]];
    }
    if (from.kind === "residual" && to.lane === MAIN) {
      return [[from.x, to.mid], [to.x - reach, to.mid]];
    }
    if (isPlus(to)) return [[from.x, to.mid], [to.x + 13, to.mid]];
    if (from.lane === to.lane) return [[from.x, from.bottom], [to.x, to.y - 1]];
    if (from.lane > to.lane && to.row - from.row === 1) {
      const y = to.y - 7;
      return [[from.x, from.bottom], [from.x, y], [to.x + 14, y], [to.x + 14, to.y - 1]];
    }
    if (from.lane > to.lane && from.kind !== "residual") {
      const y = to.mid + (from.lane - to.lane - 1) * 5;
      return [[from.x, from.bottom], [from.x, y], [to.x + reach, y]];
    }
    if (to.row === from.row) {
      return [[from.x, from.exit], [to.x, from.exit], [to.x, to.y - 1]];
    }
    const y = to.y - 8;
    return [[from.x, from.bottom], [from.x, y], [to.x, y], [to.x, to.y - 1]];
  }

  function drawEdges(steps, width) {
    const under = svg("g", {});
    steps.forEach((step, i) => {
      for (const [j, kind] of step.sources) {
        const points = route(steps[j], step, kind, width);
        steps[j].leaves ||= points[0][0] === steps[j].x && points[0][1] >= steps[j].bottom - 2;
        const path = round(points);
        const look = { d: path, class: `rz-edge rz-${kind}`, "data-to": i };
        if (kind === "cache") under.append(svg("path", { ...look, class: "rz-edge rz-cache-out" }));
        if (kind !== "residual") look["marker-end"] = "url(#rz-arrow)";
        under.append(svg("path", look));
      }
    });
    return under;
  }

  // 选出的词元回到最上面；k、v 成为下一步的 past
  function drawLoops(steps, width) {
    const find = (op, key) => steps.find((s) => s.op === op && (!key || s.key === key));
    const [start, chosen] = [find("input"), find("unsqueeze")];
    const [past, kept] = [find("past"), find("tuple")];
    const edge = width - 17;
    const middle = (step) => step.exit;
    const left = [[chosen.x, middle(chosen)], [7, middle(chosen)], [7, middle(start)],
      [start.x - 20, middle(start)]];
    const right = [[kept.x, middle(kept)], [edge, middle(kept)],
      [edge, middle(past)], [past.x + 22, middle(past)]];
    const word = (x, y, text) => svg("text", {
      class: "rz-loop-word", transform: `translate(${x} ${y}) rotate(-90)`,
    }, text);
    return svg("g", {},
      svg("path", { d: round(left), class: "rz-edge rz-loop", "marker-end": "url(#rz-arrow)" }),
      svg("path", { d: round(right), class: "rz-edge rz-loop rz-cache-out" }),
      svg("path", { d: round(right), class: "rz-edge rz-loop rz-cache", "marker-end": "url(#rz-arrow)" }),
      word(19, (middle(start) + middle(chosen)) / 2, "选出的词元 → 下一步的输入"),
      word(width - 3, (middle(past) + middle(kept)) / 2, "k、v → 下一步的 past"));
  }

  const NAMES = { add: "+", mul: "×", getitem: "[:, -1]", "cos, sin": "cos sin", layers: "× L 层" };

  function chipText(step) {
    if (step.key === "scores.mul") return "÷ √D";
    return isNamed(step) && step.key.length < 13 ? step.key : NAMES[step.op] || step.op;
  }
  const isNamed = (step) => /^(linear|RMSNorm)$/.test(step.op); // 写权重的名字：哪一个 linear

  function drawStep(step, index, letters, unit, narrow) {
    const title = svg("title", {}, `第 ${step.line} 行，${step.op}，${flow.written(step.shapes[0])}`);
    const group = svg("g", { class: `rz-move rz-of-${step.kind}`, "data-step": index }, title);
    const words = chipText(step);
    step.chipWidth = isPlus(step) ? CHIP : words.length * (narrow ? 6.1 : 6.4) + (narrow ? 8 : 12);
    if (!isLeaf(step)) {
      const half = step.chipWidth / 2;
      const shape = isPlus(step) ? CHIP / 2 : 5;
      group.append(
        svg("rect", { x: step.x - half, y: step.y, width: 2 * half, height: CHIP, rx: shape, class: "rz-chip" }),
        svg("text", { x: step.x, y: step.y + 14, class: "rz-op" }, words),
      );
    }
    if (isNamed(step) && words !== step.key) {
      group.append(svg("text", { x: step.x + step.chipWidth / 2 + 4, y: step.y + 14, class: "rz-weight" }, step.key));
    }
    if (!step.chip) {
      const [from, to] = [isLeaf(step) ? step.top : step.y + CHIP, step.top + step.flat / 2];
      const stem = { d: `M${step.x} ${from}V${to}`, class: `rz-edge rz-${step.kind === "residual" ? "data" : step.kind}` };
      if (!isLeaf(step)) group.prepend(svg("path", stem));
      const tensor = svg("g", { class: "rz-result" });
      drawTensor(tensor, step, letters, unit);
      group.append(tensor);
    }
    return group;
  }

  function drawTensor(holder, step, letters, unit) {
    const made = flow.block(step.shapes[0], letters, unit);
    const x = step.x - made.width / 2;
    // 贴着上面的框，缩扁了，名字跟着上来；过去的上面没有框，贴着下面的线
    const y = step.top + (step.op === "past" ? step.size - made.height : 0);
    made.group.setAttribute("transform", `translate(${x} ${y})`);
    const at = step.lane === CACHE ? step.x - 10 : step.x;
    const label = svg("text", { x: at, y: y + made.height + (isTall(step) ? 13 : 11), class: "rz-shape" });
    const name = [short(step.name), flow.times(step)].filter(Boolean).join(" ");
    if (name) label.append(svg("tspan", { class: "rz-var" }, `${name} `));
    const dims = svg("tspan", isTall(step) ? { x: at, dy: LINE } : {});
    label.append(dims);
    flow.dims(step.shapes[0]).forEach((dim) => {
      dim.split("*").forEach((factor, j) => {
        const mark = svg("tspan", { dx: j ? 0 : 2 }, j ? `*${factor}` : factor);
        mark.style.fill = flow.colour(factor);
        dims.append(mark);
      });
    });
    const low = y + made.height + step.under; // 缩扁之后，往下的线接到名字底下
    const tail = step.leaves && low < step.bottom - 1
      ? [svg("path", { d: `M${step.x} ${low}V${step.bottom}`, class: `rz-edge rz-${step.kind}` })] : [];
    holder.replaceChildren(...tail, made.group, label);
  }
  const SHORT = { past_key_values: "past", all_presents: "presents", position_ids: "pos", layer_past: "past", input_ids: "ids" };
  const short = (name) => SHORT[name] ?? name;

  // 每一格多少像素：最长的一边也不超过一道的宽
  function unitFor(steps, width, phases) {
    const room = Math.min(56, (LANES[2] - LANES[1]) * width - 22);
    const tallest = Math.max(...steps.flatMap((step) => step.shapes).flatMap((shape) => (
      phases.flatMap((letters) => flow.dims(shape).map((dim) => (
        flow.lengths(dim, letters, 1).reduce((sum, part) => sum + part.length, 0)))))));
    return Math.min(8, (room - 3) / Math.max(tallest, 1));
  }

  flow.diagram = (steps, width, letters, phases, title) => {
    const unit = unitFor(steps, width, phases);
    const height = place(steps, width, phases, unit);
    const picture = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, class: `rz-flow-svg${width < 480 ? " rz-narrow" : ""}` });
    picture.setAttribute("role", "img");
    picture.setAttribute("aria-label", `${title}的图；文字写在下面「全部步骤」里`);
    const head = { id: "rz-arrow", viewBox: "0 0 6 6", refX: 5, refY: 3, orient: "auto" };
    Object.assign(head, { markerWidth: 5.5, markerHeight: 5.5, markerUnits: "userSpaceOnUse" });
    const first = steps.find((s) => s.op === "RMSNorm");
    const last = steps.find((s) => s.op === "layers");
    const drawn = svg("g", {}, ...steps.map((step, i) => drawStep(step, i, letters, unit, width < 480)));
    const frame = (by) => svg("rect", {
      x: 26 + by, y: first.y - 10 + by, width: width - 60, height: last.y - first.y + 8, rx: 10, class: "rz-layer",
    });
    picture.append(
      svg("defs", {}, svg("marker", head, svg("path", { d: "M0 0L6 3L0 6Z" }))),
      frame(8), frame(4), frame(0), // 叠着的几张：L 层
      drawEdges(steps, width), drawLoops(steps, width), drawn,
    );
    flow.redraw = (now) => steps.forEach((step, i) => {
      const holder = drawn.children[i].querySelector(".rz-result");
      if (holder) drawTensor(holder, step, now, unit);
    });
    return picture;
  };
})();
