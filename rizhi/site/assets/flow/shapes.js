// 张量流的字母与形状：算式子、写尺寸、认读者打的形状、按比例画一个张量。
(() => {
  const flow = (window.rizhiFlow ||= {});

  flow.html = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (name in node && name !== "list") node[name] = value;
      else node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  };

  flow.svg = (tag, attributes = {}, ...children) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children);
    return node;
  };

  // 一个式子的值：字母、整数、乘积、相加、整除
  flow.evaluate = (expression, letters) => {
    const factor = (text) => {
      const [name, divisor] = text.split("/");
      return Math.floor((/^\d+$/.test(name) ? Number(name) : letters[name]) / (divisor || 1));
    };
    const product = (term) => term.split("*").map(factor).reduce((a, b) => a * b, 1);
    return expression.split("+").map(product).reduce((a, b) => a + b, 0);
  };

  flow.filled = (words, letters) => (
    words.replace(/\{([^}]+)\}/g, (_, text) => flow.evaluate(text, letters))
  );

  flow.dims = (shape) => shape.split(" ").filter(Boolean);
  flow.sizes = (shape, letters) => flow.dims(shape).map((d) => flow.evaluate(d, letters));
  flow.numbers = (shape, letters) => flow.sizes(shape, letters).join("×");
  flow.written = (shape) => {
    const dims = flow.dims(shape);
    return `(${dims.join(", ")}${dims.length === 1 ? "," : ""})`;
  };

  // 一个字母一种颜色；past 与 S 同色，R 与 D 同色
  const COLOUR = { past: "s", P: "s", R: "d" };
  flow.colour = (text) => {
    const letter = (text.match(/past|[A-Z]/) || [""])[0];
    const name = COLOUR[letter] || letter.toLowerCase();
    return name ? `var(--rz-letter-${name})` : "var(--md-default-fg-color--light)";
  };

  // 几个这样的张量：缓存里键与值成对，收齐之后每层一对
  flow.times = ({ kind, op, shapes }) => (
    kind !== "cache" || shapes.length < 2 ? "" : op === "tuple" ? "L×2 个" : "2 个"
  );

  flow.coloured = (shape) => {
    const parts = flow.dims(shape).flatMap((dim, i) => {
      const marks = dim.split("*").flatMap((factor, j) => {
        const letter = flow.html("b", {}, factor);
        letter.style.color = flow.colour(factor);
        return j ? ["*", letter] : [letter];
      });
      return i ? [", ", ...marks] : marks;
    });
    const alone = flow.dims(shape).length === 1 ? "," : "";
    return flow.html("span", { className: "rz-dims" }, "(", ...parts, `${alone})`);
  };

  // 读者打的：(B, H, T, D)、BHTD、B H T D、2×4×6×8 都认；对了是空串，不对就说哪里不对
  const PRIMES = { B: 101, T: 211, S: 307, past: 401, C: 503, H: 601, K: 701, D: 809, I: 907 };
  Object.assign(PRIMES, { V: 1009, R: 1103, P: 1201, L: 1301 });

  function tokens(text) {
    const plain = text.normalize("NFKC").toUpperCase().replace(/PAST/g, "past").replace(/·/g, "*");
    const spaced = plain.replace(/\s*([*+/])\s*/g, "$1").replace(/[×X,、;()[\]]/g, " ").trim();
    return spaced.split(/\s+/).flatMap((token) => (
      /^[A-Z]{2,}$/.test(token) ? [...token] : [token]
    )).filter(Boolean);
  }

  function same(token, dim, letters) {
    if (/^\d+$/.test(token)) return Number(token) === flow.evaluate(dim, letters);
    if (!/^(past|[A-Z]|\d+)([*+/](past|[A-Z]|\d+))*$/.test(token)) return false;
    const known = { ...PRIMES, S: letters.past === 0 ? PRIMES.T : PRIMES.S };
    if (letters.past === 0) known.past = 0;
    return flow.evaluate(token, known) === flow.evaluate(dim, known);
  }

  flow.judge = (text, shape, letters) => {
    const given = tokens(text);
    const dims = flow.dims(shape);
    if (!given.length) return "还没有写。";
    if (given.length !== dims.length) return `写了 ${given.length} 维，应是 ${dims.length} 维。`;
    const wrong = dims.findIndex((dim, i) => !same(given[i], dim, letters));
    return wrong < 0 ? "" : `第 ${wrong + 1} 维不对：写的是 ${given[wrong]}。`;
  };

  // 边长：每大一倍长一格，所以 H*D 的边恰好是 H 与 D 接起来；1 也有一点长
  const LEAST = 3;
  const factors = (dim) => (dim.includes("+") ? [dim] : dim.split("*"));
  flow.lengths = (dim, letters, unit) => factors(dim).map((text) => ({
    text, length: unit * Math.log2(Math.max(flow.evaluate(text, letters), 1)),
  }));
  const total = (parts) => LEAST + parts.reduce((sum, part) => sum + part.length, 0);
  flow.span = (dim, letters, unit) => total(flow.lengths(dim, letters, unit));

  const SLANT = 0.42;
  // 一个张量：正面是最后两维，往后斜着退的是前面各维；返回画好的组与它的宽高
  flow.block = (shape, letters, unit) => {
    const dims = flow.dims(shape);
    const sides = dims.map((dim) => flow.lengths(dim, letters, unit));
    const columns = sides.at(-1) || [];
    const rows = sides.length > 1 ? sides.at(-2) : [];
    const behind = sides.slice(0, -2).reverse().flat();
    const [w, h] = [total(columns), total(rows)];
    const d = behind.length ? (LEAST + behind.reduce((s, p) => s + p.length, 0)) * SLANT : 0;
    const group = flow.svg("g", { class: "rz-tensor" });
    const face = (points, name) => group.append(flow.svg("polygon", { points, class: name }));
    if (d) {
      face(`0,${d} ${d},0 ${w + d},0 ${w},${d}`, "rz-top");
      face(`${w},${d} ${w + d},0 ${w + d},${h} ${w},${h + d}`, "rz-flank");
    }
    face(`0,${d} ${w},${d} ${w},${h + d} 0,${h + d}`, "rz-face");
    edge(group, columns, w, (at) => [at, d]);
    edge(group, columns, w, (at) => [at, h + d]);
    edge(group, rows, h, (at) => [0, d + at]);
    edge(group, rows, h, (at) => [w, d + at]);
    if (d) {
      edge(group, behind, d, (at) => [at, d - at]);
      edge(group, behind, d, (at) => [w + at, d - at]);
      edge(group, behind, d, (at) => [w + at, h + d - at]);
    }
    return { group, width: w + d, height: h + d, face: w };
  };

  // 一条边，几个因子各占一段、各一种颜色
  function edge(group, parts, length, place) {
    const whole = parts.reduce((sum, part) => sum + part.length, 0);
    let at = 0;
    parts.forEach((part, i) => {
      const share = whole ? part.length / whole : 1 / parts.length;
      const to = i === parts.length - 1 ? length : at + share * length;
      const [[x1, y1], [x2, y2]] = [place(at), place(to)];
      const line = flow.svg("line", { x1, y1, x2, y2 });
      line.style.stroke = flow.colour(part.text);
      group.append(line);
      at = to;
    });
  }
})();
