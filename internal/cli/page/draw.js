'use strict';

// The picture: a wire for the local network, the nodes that hang on it, and on each node the addresses that it answers for.
// Of many nodes each shows few addresses, so that one sees them all.
const leastWidth = 214, mostWidth = 330, chipHeight = 22, gap = 22, manyNodes = 12;

const ruler = document.createElement('canvas').getContext('2d');
const styleOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name);
const fonts = {name: () => '600 13px ' + styleOf('--face'), dim: () => '11.5px ' + styleOf('--face'), mono: () => '12px ' + styleOf('--mono')};

function svg(name, attributes, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

// button makes a part of the picture something to ask about.
function button(what, label, ...children) {
  const g = svg('g', {role: 'button', tabindex: 0, 'data-what': what, 'aria-label': label}, ...children);
  g.addEventListener('click', (event) => { event.stopPropagation(); ask(what); });
  g.addEventListener('keydown', (event) => { if (event.key === 'Enter' || event.key === ' ') { event.preventDefault(); ask(what); } });
  return g;
}

// fit leaves out of the middle what does not fit: names and addresses differ at their ends.
function fit(text, room, font) {
  ruler.font = fonts[font]();
  for (let keep = text.length, cut = text; keep > 1; keep--) {
    if (ruler.measureText(cut).width <= room) return cut;
    const head = Math.floor(keep / 3);
    cut = text.slice(0, head) + '…' + text.slice(text.length - (keep - head) + 1);
  }
  return '…';
}

// words is a text of this font that ends before the room does.
function words(text, x, y, room, font) { return svg('text', {x, y, class: font}, fit(text, room, font)); }

// dots show the node's sessions, one for each router.
function dots(node, routers, width) {
  const all = [];
  for (const r of routers) {
    const s = r.sessions.find((s) => s.node === node.name);
    if (s) all.push(svg('circle', {class: 'dot' + (s.established ? '' : ' bad'), cx: width - 14 - all.length * 14, cy: 18, r: 4.5}, svg('title', {}, `${r.name}: ${s.state}`)));
  }
  return all;
}

// layout is where all is put on a page of this width.
function layout(picture, width) {
  const columns = Math.max(1, Math.min(Math.floor((width - gap) / (leastWidth + gap)), picture.nodes.length));
  const most = picture.nodes.length > manyNodes ? 3 : 10;
  const chips = (node) => Math.min(node.addresses.length, most) + (node.addresses.length > most ? 1 : 0);
  return {
    width, columns, most, routers: picture.routers || [], box: Math.min(mostWidth, (width - gap) / columns - gap),
    perRow: Math.max(1, Math.floor((width - gap) / (leastWidth + gap))),
    height: (node) => 62 + chips(node) * (chipHeight + 4) + 6,
  };
}

function drawNode(node, x, y, holders, l) {
  const g = svg('g', {transform: `translate(${x},${y})`}), all = dots(node, l.routers, l.box);
  g.append(button('node/' + node.name, 'node ' + node.name,
    svg('rect', {class: 'box ' + (node.reason ? 'broken' : 'ok'), width: l.box, height: l.height(node), rx: 7}),
    words(node.name, 12, 23, l.box - 24 - 14 * all.length, 'name'),
    words(node.reason || [node.interfaces.join(' '), node.version].filter(Boolean).join(' · '), 12, 42, l.box - 24, 'dim'),
    svg('title', {}, [node.name, node.reason, node.interfaces.join(' '), node.version].filter(Boolean).join('\n')), ...all));
  node.addresses.slice(0, l.most).forEach((address, i) => {
    const top = 54 + i * (chipHeight + 4);
    g.append(button('ip/' + address, 'address ' + address,
      svg('rect', {class: 'chip', x: 10, y: top, width: l.box - 20, height: chipHeight, rx: 4}),
      words(address, 16, top + 15.5, l.box - 32, 'mono'),
      svg('title', {}, address + '\n' + (holders.get(address) || ''))));
  });
  if (node.addresses.length > l.most) g.append(words(`and ${node.addresses.length - l.most} more`, 16, 54 + l.most * (chipHeight + 4) + 15, l.box - 32, 'dim'));
  return g;
}

// drawRouters returns how high they are, all rows of them.
function drawRouters(root, places, l) {
  const boxWidth = Math.min(mostWidth, (l.width - gap) / Math.min(l.perRow, l.routers.length) - gap);
  l.routers.forEach((router, i) => {
    const x = gap + (i % l.perRow) * (boxWidth + gap), y = 6 + Math.floor(i / l.perRow) * 62;
    router.sessions.forEach((s) => {
      const at = places.get(s.node);
      if (!at || at.row > 0) return; // of the rows below, the dots tell
      const from = x + boxWidth / 2;
      root.prepend(svg('path', {class: 'session' + (s.established ? '' : ' bad'), d: `M${from} ${y + 46}C${from} ${y + 90} ${at.x} ${at.y - 50} ${at.x} ${at.y}`},
        svg('title', {}, `${router.name} – ${s.node}: ${s.state}`)));
    });
    root.append(svg('g', {transform: `translate(${x},${y})`},
      button('peer/' + router.name, 'router ' + router.name,
        svg('rect', {class: 'box ' + (router.sessions.every((s) => s.established) ? 'ok' : 'broken'), width: boxWidth, height: 46, rx: 7}),
        words(router.name, 12, 20, boxWidth - 24, 'name'), words(router.text, 12, 37, boxWidth - 24, 'dim'), svg('title', {}, router.name + '\n' + router.text))));
  });
}

// drawNetwork returns the picture for a page of this width.
function drawNetwork(picture, width) {
  const holders = new Map(), places = new Map(), l = layout(picture, width);
  for (const s of picture.services) for (const a of s.addresses) holders.set(a.address, `${holders.get(a.address) || ''}${s.namespace}/${s.name} `);
  const root = svg('svg', {role: 'group', 'aria-label': 'nodes and the addresses that they answer for'});
  let y = l.routers.length ? 66 + Math.ceil(l.routers.length / l.perRow) * 62 : 20;
  for (let i = 0; i < picture.nodes.length; i += l.columns) {
    const row = picture.nodes.slice(i, i + l.columns);
    root.append(svg('path', {class: 'wire', d: `M${gap} ${y}H${width - gap}`}));
    if (i === 0) root.append(svg('text', {class: 'dim', x: width - gap, y: y - 7, 'text-anchor': 'end'}, 'local network'));
    row.forEach((node, k) => {
      const x = gap + k * (l.box + gap);
      places.set(node.name, {x: x + l.box / 2, y: y + 26, row: i});
      root.append(svg('path', {class: 'drop', d: `M${x + l.box / 2} ${y}V${y + 26}`}), drawNode(node, x, y + 26, holders, l));
    });
    y += 26 + Math.max(...row.map(l.height)) + 34;
  }
  drawRouters(root, places, l);
  root.setAttribute('viewBox', `0 0 ${width} ${Math.max(y - 20, 40)}`);
  return root;
}
