// 数学公式：页面里有才载入本地的 KaTeX；图：点一下放大，再点或按 Esc 关上；形状里的字母上色。
(() => {
  const base = document.currentScript.src.replace(/[^/]*$/, "");

  function add(tag, attributes) {
    const node = Object.assign(document.createElement(tag), attributes);
    document.head.append(node);
    return node;
  }

  let katexReady;

  function renderMath(root) {
    const nodes = root.querySelectorAll(".arithmatex");
    if (!nodes.length) return;
    katexReady ??= new Promise((onload) => {
      add("link", { rel: "stylesheet", href: base + "katex/katex.min.css" });
      add("script", { src: base + "katex/katex.min.js", onload });
    });
    katexReady.then(() => renderEach(nodes));
  }

  function renderEach(nodes) {
    for (const node of nodes) {
      const tex = node.textContent.replace(/^\\[([]|\\[)\]]$/g, "");
      katex.render(tex, node, { displayMode: node.tagName === "DIV", throwOnError: false });
      holdPoint(node);
    }
  }

  // 浏览器准在公式之后换行，逗号、句号便落到下一行的行首：与公式绑在一起
  function holdPoint(node) {
    const tail = node.nextSibling;
    if (!tail || tail.nodeType !== Node.TEXT_NODE || !/^[，。；：、！？）」』》]/.test(tail.data)) return;
    const held = Object.assign(document.createElement("span"), { className: "rz-held" });
    node.replaceWith(held);
    held.append(node, tail.data[0]);
    tail.deleteData(0, 1);
  }

  // 正文里的形状，如 (B, H, T, D)：一个字母一种颜色，与张量流的图上一样
  const SHAPE = /^\((?:(?:past|[BTSCHKDVIRPN]|\d+|[*+/])+(?:, ?(?=[^)])|,?(?=\))))+\)$/;
  const SAME = { past: "s", P: "s", R: "d", N: "h" };

  function colourShapes(root) {
    for (const code of root.querySelectorAll("article :not(pre) > code")) {
      if (!SHAPE.test(code.textContent) || code.children.length) continue;
      const parts = code.textContent.split(/(past|[A-Z])/).map((text, i) => {
        if (i % 2 === 0) return text;
        const letter = Object.assign(document.createElement("span"), { textContent: text });
        letter.style.color = `var(--rz-letter-${SAME[text] || text.toLowerCase()})`;
        return letter;
      });
      code.replaceChildren(...parts);
    }
  }

  function zoom(image) {
    const dialog = document.createElement("dialog");
    dialog.className = "rz-zoom";
    const { src, alt, className } = image;
    dialog.append(Object.assign(new Image(), { src, alt, className }));
    dialog.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
  }

  if (document.querySelector(".rz-flow")) {
    add("link", { rel: "stylesheet", href: base + "flow/flow.css" });
    for (const name of ["shapes", "diagram", "panels", "flow"]) {
      add("script", { src: `${base}flow/${name}.js`, async: false }); // 按这个次序执行
    }
  }
  // 放不下、要横滚的输出、代码与公式，键盘也到得了；主题只管它自己的代码块
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const scrolls =
    ".rz-output, .rz-output pre, .rz-parts, div.arithmatex, .highlight-ipynb, .rz-graph, .rz-card pre code";

  // 一段正文：整页，或晚些才放进来的一块
  function typeset(root) {
    colourShapes(root);
    renderMath(root);
    for (const node of root.querySelectorAll(scrolls)) wide.observe(node);
  }
  typeset(document);
  globalThis.rizhiTypeset = typeset;

  // 主题的搜索框说自己是对话框，却没有名字，读屏念不出
  document.querySelector(".md-search")?.setAttribute("aria-label", "搜索");

  // 从搜索结果点进来，标出的字在折起的代码里，就打开它
  if (new URLSearchParams(location.search).has("h")) {
    new MutationObserver(() => {
      for (const mark of document.querySelectorAll("details.rz-code:not([open]) mark")) {
        mark.closest("details").open = true;
      }
    }).observe(document.querySelector("article"), { childList: true, subtree: true });
  }

  document.addEventListener("click", (event) => {
    const image = event.target.closest("article img.rz-figure, article .jp-RenderedImage img");
    if (image) zoom(image);
  });
})();
