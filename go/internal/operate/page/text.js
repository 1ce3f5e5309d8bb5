// How numbers, times and names are said, and how elements are made. Text from the service becomes text nodes only.

export function find(selector) {
	return document.querySelector(selector);
}

// node makes an element; children are nodes or text.
export function node(tag, properties, ...children) {
	const element = Object.assign(document.createElement(tag), properties);
	element.append(...children.filter((child) => child !== null));
	return element;
}

// rebuild replaces the children only if what they show has changed: no flicker, and a selection stays.
export function rebuild(element, data, build) {
	if (changed(element, data)) element.replaceChildren(...[build()].flat().filter((child) => child !== null));
}

// changed notes what an element shows, and tells whether it showed something else.
const shown = new WeakMap();
export function changed(element, data) {
	const text = JSON.stringify(data);
	if (shown.get(element) === text) return false;
	shown.set(element, text);
	return true;
}

// say sets a text only if it is another one: a live region is read out at each change.
export function say(element, text) {
	if (element.textContent !== text) element.textContent = text;
}

// visible shows characters that would show nothing, or would turn the text around.
export function visible(text) {
	return String(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

export function count(number) {
	return number.toLocaleString('en-US');
}

export function counted(number, one, several = one + 's') {
	return `${count(number)} ${number === 1 ? one : several}`;
}

export function size(bytes) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	let unit = 0;
	for (; bytes >= 1024 && unit < units.length - 1; unit++) bytes /= 1024;
	const digits = unit === 0 || bytes >= 100 || Number.isInteger(bytes) ? 0 : 1;
	return `${bytes.toFixed(digits)} ${units[unit]}`;
}

// --- Times. The server's clock counts, not the one of the machine that looks at it.

let ahead = 0; // of the server's clock, in milliseconds

export function setClock(date) {
	const time = Date.parse(date);
	// The header has whole seconds; a small difference is none.
	if (!Number.isNaN(time) && Math.abs(time - Date.now() - ahead) > 2000) ahead = time - Date.now();
}

export function now() {
	return Date.now() + ahead;
}

export function span(seconds) {
	const [s, min, h, d] = [1, 60, 3600, 86400].map((unit) => Math.floor(seconds / unit));
	if (s < 60) return `${s} s`;
	if (min < 60) return `${min} min`;
	if (h < 24) return min % 60 ? `${h} h ${min % 60} min` : `${h} h`;
	if (d < 10) return h % 24 ? `${d} d ${h % 24} h` : `${d} d`;
	return `${count(d)} d`;
}

export function clock(milliseconds) {
	return new Date(milliseconds).toISOString().slice(11, 19);
}

// moment is a time that says how far off it is, and goes on saying it. In full, it says the date, too. One that is
// nearer than soon seconds is marked. Once it is past, it may be said in a word.
export function moment(time, { full = false, soon = 0, past = '' } = {}) {
	const element = node('time', { dateTime: time });
	const date = new Date(time).toISOString();
	element.title = `${date.slice(0, 10)} ${date.slice(11, 19)} UTC`;
	element.dataset.full = full ? `${date.slice(0, 10)} ${date.slice(11, 16)}` : '';
	Object.assign(element.dataset, { soon, past });
	tell(element);
	return element;
}

function tell(element) {
	const left = (Date.parse(element.dateTime) - now()) / 1000;
	if (left < 0 && element.dataset.past) return say(element, element.dataset.past);
	const away = left >= 0 ? `in ${span(left)}` : `${span(-left)} ago`;
	say(element, element.dataset.full ? `${element.dataset.full} (${away})` : away);
	element.classList.toggle('soon', Number(element.dataset.soon) > Math.max(left, 0));
}

export function tellTimes() {
	document.querySelectorAll('time').forEach(tell);
}

// --- Names

// told is a name, as it travels and as its owner writes it.
export function told(name) {
	const other = unicode(name);
	return [node('bdi', {}, visible(name)), other && ' ', other && node('bdi', { className: 'aside' }, visible(other))];
}

// unicode is the name as its owner writes it, or '' if that is the same or not safe to show: each label must be what
// the browser itself makes the same A-label of, which rules out invisible characters and other tricks.
export function unicode(name) {
	if (!/(^|\.)xn--/.test(name)) return '';
	const text = name.split('.').map((label) => (label.startsWith('xn--') ? decoded(label.slice(4)) : label)).join('.');
	return text !== name && !/[^\p{L}\p{M}\p{N}.*·-]/u.test(text) && ascii(text) === name ? text : '';
}

// ascii is the name as it travels, or '' if there is none.
export function ascii(text) {
	const star = text.startsWith('*.') ? '*.' : '';
	const url = URL.parse?.(`http://${text.slice(star.length)}/`);
	return url && url.pathname === '/' && !/[%:]/.test(url.host) && !url.username ? star + url.hostname : '';
}

// decoded is a label out of Punycode (RFC 3492, section 6.2); '' if it is none.
function decoded(label) {
	const split = label.lastIndexOf('-');
	const output = split > 0 ? [...label.slice(0, split)] : [];
	let [code, index, bias] = [128, 0, 72];
	for (let position = split + 1; position < label.length; ) {
		const start = index;
		for (let weight = 1, k = 36; ; k += 36) {
			const digit = 'abcdefghijklmnopqrstuvwxyz0123456789'.indexOf(label[position++] ?? '?');
			if (digit < 0) return '';
			index += digit * weight;
			const threshold = Math.min(Math.max(k - bias, 1), 26);
			if (digit < threshold) break;
			weight *= 36 - threshold;
		}
		const length = output.length + 1;
		let delta = Math.floor((index - start) / (start === 0 ? 700 : 2));
		delta += Math.floor(delta / length);
		let k = 0;
		for (; delta > 455; k += 36) delta = Math.floor(delta / 35);
		bias = k + Math.floor((36 * delta) / (delta + 38));
		code += Math.floor(index / length);
		if (code > 0x10ffff) return '';
		index %= length;
		output.splice(index++, 0, String.fromCodePoint(code));
	}
	return output.join('');
}
