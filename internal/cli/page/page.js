'use strict';

// The page: it takes pictures as they come and shows them; a click asks why. Whatever comes from the cluster is put in as
// text, never as markup.
const $ = (id) => document.getElementById(id);
const state = {picture: null, asked: location.hash.slice(1), pressed: false, stale: false};
const signs = {ok: '✓', note: '!', broken: '✗'};

function make(name, attributes, ...children) {
  const e = document.createElement(name);
  for (const [k, v] of Object.entries(attributes || {})) e.setAttribute(k, v);
  e.append(...children);
  return e;
}

function link(what, text) {
  const b = make('button', {type: 'button', class: 'link', 'data-what': what}, text);
  b.addEventListener('click', () => ask(what));
  return b;
}

function plural(n, word) { return `${n} ${word}${n === 1 ? '' : 's'}`; }

function troubles(p) {
  const list = [];
  if (p.controller.known && p.controller.good === 0) list.push([null, 'controller', 'none is available: nobody assigns addresses']);
  for (const n of p.nodes) if (n.reason) list.push(['node/' + n.name, 'node ' + n.name, `${n.reason}: ${n.why}`]);
  for (const r of p.routers || []) for (const s of r.sessions) if (!s.established) list.push(['peer/' + r.name, 'peer ' + r.name, `node ${s.node}: ${s.state}${s.reason ? ', ' + s.reason : ''}`]);
  for (const o of p.pools) if (o.wrong) list.push(['pool/' + o.name, 'pool ' + o.name, o.wrong]);
  for (const s of p.services) if (s.state === 'broken') list.push([`svc/${s.namespace}/${s.name}`, `Service ${s.namespace}/${s.name}`, `${s.reason}: ${s.text}`]);
  return list;
}

function showWrong(list) {
  $('wrong-section').hidden = list.length === 0;
  const shown = list.slice(0, 100).map(([what, name, text]) => make('li', {}, what ? link(what, name) : name, ' — ' + text));
  if (list.length > shown.length) shown.push(make('li', {}, `and ${list.length - shown.length} more`));
  $('wrong').replaceChildren(...shown);
}

function showPools(p) {
  $('pools').replaceChildren(...p.pools.map((o) => {
    const full = o.wrong || o.share >= 1 ? 'broken' : o.share >= 0.9 ? 'note' : 'ok';
    return make('li', {}, link('pool/' + o.name, o.name), make('progress', {value: o.share, max: 1, class: full, 'aria-label': `${o.name} in use`}),
      make('div', {class: 'dim'}, `${o.used} used, ${o.free || 'not in use'}`),
      make('div', {class: 'dim', title: o.ranges.join('\n')}, o.ranges.slice(0, 4).join(', ') + (o.ranges.length > 4 ? ` and ${o.ranges.length - 4} more` : '')),
      ...(o.wrong ? [make('div', {class: 'broken'}, o.wrong)] : []));
  }));
  if (p.pools.length === 0) $('pools').replaceChildren(make('li', {}, 'There is no IPAddressPool: no Service gets an address.'));
}

function showServices() {
  const p = state.picture, words = $('filter').value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = p.services.filter((s) => {
    const text = `${s.namespace}/${s.name} ${s.reason || ''} ${s.addresses.map((a) => `${a.address} ${a.pool} ${a.nodes.join(' ')}`).join(' ')}`.toLowerCase();
    return words.every((w) => text.includes(w));
  });
  $('services').replaceChildren(...rows.map((s) => make('tr', {},
    make('td', {}, link(`svc/${s.namespace}/${s.name}`, `${s.namespace}/${s.name}`)),
    make('td', {class: 'mono'}, s.addresses.map((a) => a.address).join(', ') || '–'),
    make('td', {}, [...new Set(s.addresses.map((a) => a.pool))].join(', ')),
    make('td', {}, [...new Set(s.addresses.flatMap((a) => a.nodes))].join(', ') || '–'),
    make('td', {}, make('span', {class: 'state ' + s.state, title: s.text || ''}, s.reason || 'well')))));
  $('more').textContent = p.more ? `${p.more} more Services are well and left out.` :
    p.services.length === 0 ? 'There is no Service of type LoadBalancer that is Belfry\'s.' : rows.length === 0 ? 'No Service matches.' : '';
}

function show() {
  const p = state.picture, list = troubles(p);
  $('summary').textContent = `${plural(p.nodes.length, 'node')}, ${plural(p.pools.length, 'pool')}, ${plural(p.services.length + p.more, 'Service')}; ` +
    (list.length ? `${plural(list.length, 'thing')} wrong` : 'nothing is wrong');
  document.title = list.length ? `(${list.length}) Belfry` : 'Belfry';
  showWrong(list);
  $('network').replaceChildren(p.nodes.length ? drawNetwork(p, $('network').clientWidth || 1200) : make('p', {class: 'dim'}, 'There is no Node.'));
  showPools(p);
  showServices();
}

function showWhy(e) {
  const bad = e.broken;
  $('why-subject').textContent = e.subject;
  $('why-summary').replaceChildren(make('span', {class: bad ? 'broken' : 'ok'}, signs[bad ? 'broken' : 'ok'] + ' '), e.summary);
  const words = bad ? [['why', `${bad.reason}${e.words ? ': ' + e.words.means : ''}`], ['do', bad.do || '']] : [];
  $('why-words').replaceChildren(...words.flatMap(([k, v]) => [make('dt', {}, k), make('dd', {}, v)]));
  $('why-links').replaceChildren(...e.links.map((l) => {
    const li = make('li', {}, make('span', {class: l.state}, signs[l.state] + ' '), make('b', {}, l.name), ` ${l.reason ? l.reason + ': ' : ''}${l.text}`);
    if (l.do && !(bad && l.name === bad.name && l.reason === bad.reason)) li.append(make('div', {class: 'dim'}, '→ ' + l.do));
    if (l.rows) li.append(make('ul', {}, ...l.rows.map((r) => make('li', {}, make('span', {class: r.state}, signs[r.state] + ' '), make('b', {}, r.name), ` ${r.reason ? r.reason + ': ' : ''}${r.text}`))));
    return li;
  }));
  aside(true);
}

// aside opens or closes the explanation; the rest makes room for it where there is some.
function aside(open) {
  if ($('why').hidden !== open) return;
  $('why').hidden = !open;
  document.body.classList.toggle('asked', open);
  if (state.picture) show();
}

async function ask(what) {
  state.asked = what;
  history.replaceState(null, '', '#' + what);
  const answer = await fetch('/explain?what=' + encodeURIComponent(what));
  if (state.asked !== what) return; // another click was faster
  if (answer.ok) showWhy(await answer.json());
}

function close() {
  state.asked = '';
  history.replaceState(null, '', location.pathname);
  aside(false);
}

// refresh shows the newest picture. One that comes while a button is pressed waits until it is let go: a click is none if what
// was pressed is gone by then.
function refresh() {
  state.stale = state.pressed;
  if (state.stale) return;
  show();
  if (state.asked) ask(state.asked);
}

function letGo() {
  state.pressed = false;
  setTimeout(() => { if (state.stale) refresh(); }); // after the click
}

function follow() {
  const source = new EventSource('/events');
  source.onmessage = (event) => {
    state.picture = JSON.parse(event.data);
    $('live').textContent = 'live';
    $('live').className = 'on';
    refresh();
  };
  source.onerror = () => {
    $('live').textContent = 'kubectl belfry ui does not answer';
    $('live').className = 'off';
  };
}

$('filter').addEventListener('input', () => { if (state.picture) showServices(); });
$('close').addEventListener('click', close);
addEventListener('keydown', (event) => { if (event.key === 'Escape') close(); });
addEventListener('pointerdown', (event) => { state.pressed = event.button === 0; });
for (const end of ['pointerup', 'pointercancel', 'blur']) addEventListener(end, letGo);
addEventListener('resize', () => { if (state.picture) show(); });
follow();
