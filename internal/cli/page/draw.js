'use strict';

// The picture: a wire for the local network, the nodes that hang on it, and on each node the addresses that it answers for.
const boxWidth = 214, chipHeight = 22, gap = 22, mostChips = 10;

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

function chips(node) { return Math.min(node.addresses.length, mostChips) + (node.addresses.length > mostChips ? 1 : 0); }

function boxHeight(node) { return 62 + chips(node) * (chipHeight + 4) + 6; }

function cut(text, length) { return text.length > length ? text.slice(0, length - 1) + '…' : text; }

// dots show the node's sessions, one for each router.
function dots(node, routers) {
  const all = [];
  for (const r of routers) {
    const s = r.sessions.find((s) => s.node === node.name);
    if (s) all.push(svg('circle', {class: 'dot' + (s.established ? '' : ' bad'), cx: boxWidth - 14 - all.length * 14, cy: 18, r: 4.5}, svg('title', {}, `${r.name}: ${s.state}`)));
  }
  return all;
}

function drawNode(node, x, y, holders, routers) {
  const g = svg('g', {transform: `translate(${x},${y})`});
  const good = !node.reason;
  g.append(button('node/' + node.name, 'node ' + node.name,
    svg('rect', {class: 'box ' + (good ? 'ok' : 'broken'), width: boxWidth, height: boxHeight(node), rx: 7}),
    svg('text', {x: 12, y: 23, 'font-weight': 600}, cut(node.name, 24)),
    svg('text', {x: 12, y: 42, class: 'dim'}, good ? cut(node.interfaces.join(' ') + ' · ' + node.version, 32) : cut(node.reason, 30)),
    ...dots(node, routers)));
  node.addresses.slice(0, mostChips).forEach((address, i) => {
    const top = 54 + i * (chipHeight + 4);
    g.append(button('ip/' + address, 'address ' + address,
      svg('rect', {class: 'chip', x: 10, y: top, width: boxWidth - 20, height: chipHeight, rx: 4}),
      svg('text', {class: 'mono', x: 16, y: top + 15.5}, cut(address, 26)),
      svg('title', {}, holders.get(address) || '')));
  });
  if (node.addresses.length > mostChips) {
    g.append(svg('text', {class: 'dim', x: 16, y: 54 + mostChips * (chipHeight + 4) + 15}, `and ${node.addresses.length - mostChips} more`));
  }
  return g;
}

function drawRouters(root, routers, places, width) {
  routers.forEach((router, i) => {
    const x = gap + i * (boxWidth + gap), y = 6;
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
        svg('text', {x: 12, y: 20, 'font-weight': 600}, cut(router.name, 24)),
        svg('text', {x: 12, y: 37, class: 'dim'}, cut(router.text, 32)))));
  });
}

// drawNetwork returns the picture for a page of this width.
function drawNetwork(picture, width) {
  const holders = new Map();
  for (const s of picture.services) for (const a of s.addresses) holders.set(a.address, `${holders.get(a.address) || ''}${s.namespace}/${s.name} `);
  const columns = Math.max(1, Math.min(Math.floor((width - gap) / (boxWidth + gap)), picture.nodes.length));
  const routers = picture.routers || [];
  const root = svg('svg', {role: 'img', 'aria-label': 'nodes and the addresses that they answer for'});
  const places = new Map();
  let y = routers.length ? 128 : 20;
  for (let i = 0; i < picture.nodes.length; i += columns) {
    const row = picture.nodes.slice(i, i + columns);
    root.append(svg('path', {class: 'wire', d: `M${gap} ${y}H${width - gap}`}));
    if (i === 0) root.append(svg('text', {class: 'dim', x: width - gap, y: y - 7, 'text-anchor': 'end'}, 'local network'));
    row.forEach((node, k) => {
      const x = gap + k * (boxWidth + gap);
      places.set(node.name, {x: x + boxWidth / 2, y: y + 26, row: i});
      root.append(svg('path', {class: 'drop', d: `M${x + boxWidth / 2} ${y}V${y + 26}`}), drawNode(node, x, y + 26, holders, routers));
    });
    y += 26 + Math.max(...row.map(boxHeight)) + 34;
  }
  drawRouters(root, routers, places, width);
  root.setAttribute('viewBox', `0 0 ${width} ${Math.max(y - 20, 40)}`);
  return root;
}
