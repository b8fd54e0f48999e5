// The picture, live: zoom, filter by class, search. It draws from the data beside it what stands in the file at rest, and
// more when there is room. Text from the profile goes into the page by textContent only.
(function () {
  'use strict';
  var NS = 'http://www.w3.org/2000/svg', HTML = 'http://www.w3.org/1999/xhtml';
  var svg = document.getElementById('fgspy');
  var find = function (id) { return svg.querySelector('#' + id); };
  var D = JSON.parse(find('data').textContent);
  var flame = find('flame'), status = find('status'), foot = find('foot'), remarks = find('remarks');
  var chips = Array.prototype.slice.call(svg.querySelectorAll('.chip'));
  var C = D.classes.length, N = D.boxes.length;

  // The boxes by columns, in the order of a walk from the root: what is below box i are the boxes i + 1 to end[i] - 1.
  var depth = [], name = [], place = [], kind = [], parent = [], end = [], times = [], whole = [];
  (function () {
    var open = [];
    D.boxes.forEach(function (b, i) {
      while (open.length && depth[open[open.length - 1]] >= b[0]) end[open.pop()] = i;
      depth.push(b[0]);
      name.push(b[1]);
      place.push(D.texts[b[2]] + (b[3] ? ':' + b[3] : '') + (b[4] !== b[3] ? '–' + b[4] : ''));
      kind.push(b[5]);
      parent.push(open.length ? open[open.length - 1] : -1);
      var t = new Array(C).fill(0), sum = 0;
      for (var k = 6; k < b.length; k += 2) { t[b[k]] = b[k + 1]; sum += b[k + 1]; }
      times.push(t);
      whole.push(sum);
      open.push(i);
    });
    while (open.length) end[open.pop()] = N;
  })();

  // What is shown: the classes that are on, the box zoomed into, the texts that match the search.
  var on = new Array(C).fill(true), focus = 0, matches = null, weight = [];
  // The box under the pointer.
  var hovered = -1;

  // The same words for numbers as summary.rs.
  function time(ns) {
    var units = [[1e3, 1, 'ns'], [1e6, 1e3, 'µs'], [1e9, 1e6, 'ms'], [120e9, 1e9, 's'], [7200e9, 60e9, 'min'], [Infinity, 3600e9, 'h']];
    var unit = units.find(function (u) { return ns * 1.0005 < u[0]; }) || units[5], value = ns / unit[1];
    return value.toFixed(unit[2] === 'ns' ? 0 : value < 9.995 ? 2 : value < 99.95 ? 1 : 0) + ' ' + unit[2];
  }
  function percent(part, of) {
    var v = of > 0 ? 100 * part / of : 0;
    return v === 0 ? '0%' : v < 0.005 ? '<0.01%' : v.toFixed(v < 0.095 ? 2 : 1) + '%';
  }
  function average(ns) {
    var v = D.duration > 0 ? ns / D.duration : 0;
    return v.toFixed(v < 0.995 ? 2 : v < 999.95 ? 1 : 0);
  }
  // The same short forms of names as label.rs.
  function fit(text, room) {
    var local = text.replace(/^[^(\[ ]*\//, ''), bare = local.replace(/^[^.(\[ ]*\.(?=.)/, '');
    var method = bare.replace(/^\(.*?\)\.(?=.)/, '');
    var form = [text, local, bare, method].find(function (t) { return t.length <= room; });
    return form !== undefined ? form : room < 3 ? '' : room < 8 ? method.slice(0, room) : method.slice(0, room - 1) + '…';
  }
  function title(i) { return i === 0 ? 'all goroutines' : D.texts[name[i]]; }

  function add(to, tag, attributes, text) {
    var e = document.createElementNS(NS, tag);
    for (var key in attributes) e.setAttribute(key, attributes[key]);
    if (text !== undefined) e.textContent = text;
    to.appendChild(e);
    return e;
  }

  function weigh() {
    weight = times.map(function (t) { return t.reduce(function (sum, ns, c) { return on[c] ? sum + ns : sum; }, 0); });
    if (!(weight[focus] > 0)) focus = 0;
  }

  function room(width) { return Math.max(0, Math.floor((width - 5) / D.character)); }

  function box(i, x, pixels, above) {
    var y = depth[i] * D.row, width = pixels > 3 ? pixels - 1 : pixels, high = D.row - 1, activity = kind[i] >= 0;
    var main = 0;
    for (var c = 0; c < C; c++) if (on[c] && (!on[main] || times[i][c] > times[i][main])) main = c;
    var marked = matches && matches[name[i]] && i > 0;
    var g = add(flame, 'g', {'class': 'b ' + (activity ? 'end' : 'ink') + (above ? ' up' : '') + (matches ? marked ? ' found' : ' dim' : ''), 'data-i': i});
    add(g, 'rect', {'class': 'body ' + (i === 0 ? 'root' : (activity ? 'a' : 'f') + main), x: x, y: y, width: width, height: high});
    if (i === 0 || (pixels > 3 && times[i][main] < 0.995 * weight[i])) {
      var left = x;
      for (c = 0; c < C; c++) {
        var part = on[c] ? width * times[i][c] / weight[i] : 0;
        if (!(part > 0)) continue;
        add(g, 'rect', {'class': 'a' + c, x: left, y: i === 0 ? y : y + D.row - 4, width: part, height: i === 0 ? high : 3});
        if (i === 0) {
          var share = D.classes[c] + ' ' + percent(times[0][c], whole[0]);
          label(g, 't' + c, left, y, share.length <= room(part) ? share : fit(D.classes[c], room(part)));
        }
        left += part;
      }
    }
    if (i > 0) label(g, activity ? 't' + main : 't', x, y, fit(title(i), room(width)));
  }
  function label(g, cls, x, y, text) {
    if (text) add(g, 'text', {'class': cls, x: x + 3, y: y + 12.5}, text);
  }

  // What stands in for boxes too narrow to be drawn.
  function rest(x, y, width, ns) {
    var g = add(flame, 'g', {'class': 'rest'});
    add(g, 'title', {}, 'boxes too narrow to be shown: ' + time(ns) + ', ' + percent(ns, whole[0]) + ' of all');
    add(g, 'rect', {x: x, y: y, width: width - 1, height: D.row - 1});
    label(g, 't', x, y, fit('too narrow', room(width - 1)));
  }

  function draw() {
    var outer = Math.max(480, document.documentElement.clientWidth || window.innerWidth), W = outer - 2 * D.margin;
    var scale = W / weight[focus], least = Math.max(0.3, W * D.minShare), used = new Float64Array(N), deepest = 0;
    flame.textContent = '';
    var left = new Float64Array(N), drawn = [];
    for (var i = 0; i < N;) {
      var p = parent[i], above = i < focus && end[i] > focus, pixels = weight[i] * scale;
      if (!above && (i < focus || i >= end[focus] || pixels < least)) { i = end[i]; continue; }
      if (i > focus) { left[i] = left[p] + used[p]; used[p] += pixels; }
      deepest = Math.max(deepest, depth[i]);
      box(i, left[i], above ? W : pixels, above);
      if (i >= focus && kind[i] < 0) drawn.push(i);
      i++;
    }
    drawn.forEach(function (i) {
      var more = weight[i] * scale - used[i];
      if (more < D.minRest) return;
      deepest = Math.max(deepest, depth[i] + 1);
      rest(left[i] + used[i], (depth[i] + 1) * D.row, more, more / scale);
    });
    var y = legend(outer);
    move(remarks, 0, y);
    y += remarks.childElementCount * 18;
    move(status, 0, y);
    say();
    y += D.status;
    move(flame, D.margin, y);
    y += (deepest + 1) * D.row + 8;
    move(foot, 0, y);
    y += foot.childElementCount * 15 + D.margin;
    svg.setAttribute('width', outer);
    svg.setAttribute('height', y);
    svg.setAttribute('viewBox', '0 0 ' + outer + ' ' + y);
    search.setAttribute('x', outer - D.margin - 240);
  }
  function move(e, x, y) { e.setAttribute('transform', 'translate(' + x + ' ' + y + ')'); }

  function legend(outer) {
    var x = D.margin, y = D.legendTop;
    chips.forEach(function (chip) {
      var width = chip.querySelector('text').getComputedTextLength() + 36;
      if (x + width > outer - D.margin && x > D.margin) { x = D.margin; y += 24; }
      chip.querySelector('.hit').setAttribute('width', width);
      chip.classList.toggle('off', !on[+chip.dataset['class']]);
      move(chip, x, y);
      x += width;
    });
    return y + 24;
  }

  // One line below the legend: what is shown if not everything, else what one can do.
  function say() {
    var parts = [], off = on.filter(function (is) { return !is; }).length;
    if (off) parts.push('only ' + D.classes.filter(function (_, c) { return on[c] && times[0][c] > 0; }).join(', ') + ': ' +
      time(weight[0]) + ', ' + percent(weight[0], whole[0]) + ' of all');
    if (focus) parts.push('zoomed into ' + title(focus) + ': ' + time(weight[focus]) + ', ' + percent(weight[focus], whole[0]) + ' of all');
    if (matches) parts.push('found ' + time(found()) + ', ' + percent(found(), weight[focus]) + ' of what is shown');
    status.textContent = '';
    if (!parts.length) {
      add(status, 'text', {'class': 'muted', x: D.margin, y: 15}, 'Click a box to zoom in. Click a class to see only it, shift-click to add or remove one. Callers stand above what they call.');
      return;
    }
    var line = add(status, 'text', {x: D.margin, y: 15});
    add(line, 'tspan', {'class': 'word'}, parts.join('  ·  '));
    add(line, 'tspan', {'class': 'link', dx: 12}, 'show everything (Esc)').addEventListener('click', reset);
  }
  // Time in boxes that match, of those below each other only the topmost.
  function found() {
    var sum = 0;
    for (var i = focus; i < end[focus];) {
      if (i > 0 && matches[name[i]]) { sum += weight[i]; i = end[i]; } else i++;
    }
    return sum;
  }

  function reset() {
    on.fill(true);
    focus = 0;
    input.value = '';
    look();
    weigh();
    draw();
  }

  // The search field is HTML, which viewers without scripts never get to see.
  var search = add(svg, 'foreignObject', {y: 13, width: 240, height: 28});
  var input = document.createElementNS(HTML, 'input');
  input.setAttribute('type', 'search');
  input.setAttribute('placeholder', 'Search: regular expression  ( / )');
  search.appendChild(input);
  function look() {
    var text = input.value, regex = null;
    try {
      regex = text && new RegExp(text, text === text.toLowerCase() ? 'i' : '');
      input.classList.remove('bad');
    } catch (error) {
      input.classList.add('bad');
    }
    matches = regex ? D.texts.map(function (t) { return regex.test(t); }) : null;
  }
  input.addEventListener('input', function () { look(); draw(); });

  document.addEventListener('keydown', function (event) {
    if (event.key === 'Escape') { input.blur(); reset(); }
    if (event.key === '/' && document.activeElement !== input) { event.preventDefault(); input.focus(); }
  });
  chips.forEach(function (chip) {
    chip.addEventListener('click', function (event) {
      var c = +chip.dataset['class'];
      var alone = on.every(function (is, k) { return is === (k === c); });
      if (event.shiftKey || event.ctrlKey || event.metaKey) on[c] = !on[c];
      else on = on.map(function (_, k) { return alone || k === c; });
      if (!times[0].some(function (ns, k) { return on[k] && ns > 0; })) on.fill(true);
      weigh();
      draw();
    });
  });
  function boxOf(event) {
    var g = event.target.closest ? event.target.closest('[data-i]') : null;
    return g ? +g.getAttribute('data-i') : -1;
  }
  flame.addEventListener('click', function (event) {
    var i = boxOf(event);
    if (i >= 0) { focus = i; draw(); hide(); }
  });

  // The tooltip.
  var tip = add(svg, 'g', {id: 'tip', 'class': 'hidden'});
  function hide() { tip.setAttribute('class', 'hidden'); hovered = -1; }
  function fill(i, chars) {
    var y = 8, widest = 0;
    tip.textContent = '';
    var paper = add(tip, 'rect', {'class': 'paper', rx: 6});
    function line(text, cls, x) {
      y += 16;
      var e = add(tip, 'text', {'class': cls, x: x || 12, y: y}, text);
      widest = Math.max(widest, (x || 12) + e.getComputedTextLength());
    }
    for (var text = title(i); text; text = text.slice(chars)) line(text.slice(0, chars), 'name');
    if (kind[i] < 0 && place[i]) for (text = place[i]; text; text = text.slice(chars)) line(text.slice(0, chars), 'muted');
    line(time(whole[i]) + '  ·  ' + percent(whole[i], whole[0]) + ' of all  ·  ' + average(whole[i]) + ' goroutines on average', '');
    if (focus) line(percent(weight[i], weight[focus]) + ' of what is zoomed into', 'muted');
    y += 6;
    D.classes.map(function (_, c) { return c; }).filter(function (c) { return times[i][c] > 0; })
      .sort(function (a, b) { return times[i][b] - times[i][a]; }).forEach(function (c) {
        add(tip, 'rect', {'class': 'a' + c, x: 12, y: y + 5, width: 12, height: 12, rx: 2});
        line(D.classes[c] + '  ' + percent(times[i][c], whole[i]) + '  ' + time(times[i][c]), '', 30);
      });
    paper.setAttribute('width', widest + 12);
    paper.setAttribute('height', y + 12);
    return [widest + 12, y + 12];
  }
  var size = [0, 0];
  flame.addEventListener('mousemove', function (event) {
    var i = boxOf(event), view = document.documentElement;
    if (i < 0) return hide();
    tip.setAttribute('class', '');
    if (i !== hovered) size = fill(i, Math.max(30, Math.floor((window.innerWidth - 60) / 7.4)));
    hovered = i;
    var x = Math.min(event.clientX + 14, view.clientWidth - size[0] - 8), y = event.clientY + 18;
    if (y + size[1] > window.innerHeight - 8) y = Math.max(8, event.clientY - size[1] - 12);
    move(tip, Math.max(8, x) + window.pageXOffset, y + window.pageYOffset);
  });
  flame.addEventListener('mouseleave', hide);

  window.addEventListener('resize', draw);
  weigh();
  draw();
})();
