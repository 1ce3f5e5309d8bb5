// The list of names: which ones, a page of them, and the way through the pages.
import { Refused, get } from './api.js';
import { ascii, changed, count, counted, moment, node, rebuild, say, unicode, visible } from './text.js';

const page = 50; // rows; the service may send fewer
const scans = 8; // requests for a page whose names are far apart

// Each list: its title, what its columns say of a name, and what counts it in a cache's facts.
const since = ['Since', (name) => name.failing_since && moment(name.failing_since)];
const retry = ['Next try', (name) => name.retry_at && moment(name.retry_at, { past: 'due' })];
const why = ['Why', (name) => node('span', { className: 'clamped' }, visible(name.last_error ?? ''))];
const state = ['State', (name) => word(name.state)];
const end = ['Certificate ends', (name) => name.not_after && moment(name.not_after, { soon: 3 * 86400 })];
const fresh = ['Fresh until', (name) => name.fresh_until && moment(name.fresh_until)];
const remembered = ['Remembered until', (name) => name.fresh_until && moment(name.fresh_until)];

export const lists = {
	failing: { title: 'Failing', columns: [since, retry, why], counter: 'failing_names', none: 'No name fails.' },
	ending: { title: 'Ending soon', columns: [end, fresh, state], none: 'No certificate is in memory.' },
	stale: { title: 'Stale', columns: [fresh, end, state], none: 'No certificate is past its lifetime.' },
	expired: { title: 'Expired', columns: [end, state], none: 'No certificate in memory is past its use.' },
	negative: { title: 'Unknown names', columns: [remembered], counter: 'negatives', none: 'No name is remembered as unknown to the backend.' },
	memory: { title: 'In memory', columns: [state, end, fresh], counter: 'entries', none: 'No certificate is in memory.' },
	disk: { title: 'On disk', columns: [state, end, fresh], counter: 'disk_entries', none: 'No certificate is on disk.' },
};

const [note, table, pages] = ['#note', '#list', '#pages'].map((id) => document.querySelector(id));
const [head, body] = [table.tHead, table.tBodies[0]];
const [previous, pageNumber, next] = pages.children;

let answer = null; // the page that is shown: { question, at, names, cursor, refused }
let question = ''; // what is asked for now
let cursors = ['']; // of its pages up to the one that is asked for

// word says a state; the sign before it is the style's.
export function word(name) {
	return node('span', { className: `state ${/^\w+$/.test(name) ? name : ''}` }, name === 'negative' ? 'unknown' : visible(name));
}

// prefixOf is what is asked for: names travel in ASCII.
export function prefixOf(text) {
	const plain = text.trim().toLowerCase();
	return /^[\x21-\x7e]*$/.test(plain) ? plain : ascii(plain) || plain;
}

function questionOf(wanted) {
	return { cache: wanted.cache, state: wanted.list === 'memory' ? '' : wanted.list, prefix: prefixOf(wanted.prefix) };
}

export async function loadList(wanted, signal) {
	const parameters = questionOf(wanted);
	if (question !== JSON.stringify(parameters)) [question, cursors] = [JSON.stringify(parameters), ['']];
	const found = { question, at: cursors.at(-1), names: [], cursor: cursors.at(-1), refused: '' };
	try {
		for (let scan = 0; scan < scans && found.names.length < page; scan++) {
			const part = await get('names', { ...parameters, limit: page - found.names.length, cursor: found.cursor }, signal);
			found.names.push(...(part.names ?? []));
			found.cursor = part.cursor ?? '';
			if (!found.cursor) break;
		}
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		[found.refused, found.cursor] = [error.message, ''];
	}
	answer = found;
}

// turn goes a page on or back, from the page that is shown.
function turn(forward, load) {
	if (answer.question !== question || answer.at !== cursors.at(-1)) return; // on its way already
	if (forward) cursors.push(answer.cursor);
	else cursors.pop();
	document.querySelector('#names').scrollIntoView();
	load();
}

export function setUpPages(load) {
	previous.onclick = () => turn(false, load);
	next.onclick = () => turn(true, load);
}

// showList shows what was answered last. If that is of another list, its rows stay until this one’s come.
export function showList(wanted, cache, link) {
	const late = answer.question !== JSON.stringify(questionOf(wanted));
	table.ariaBusy = String(late);
	if (late) return;
	const { columns } = lists[wanted.list];
	table.className = wanted.list;
	rebuild(head, wanted.list, () => node('tr', {}, ...['Name', ...columns.map(([title]) => title)].map((title) => node('th', { scope: 'col' }, title))));
	say(note, summary(wanted, cache));
	note.classList.toggle('bad', Boolean(answer.refused));
	showRows(wanted, columns, link);
	table.hidden = answer.names.length === 0;
	previous.disabled = cursors.length === 1;
	next.disabled = !answer.cursor;
	pages.hidden = previous.disabled && next.disabled;
	say(pageNumber, `Page ${count(cursors.length)}`);
}

function summary(wanted, cache) {
	const { none, counter } = lists[wanted.list];
	const prefix = prefixOf(wanted.prefix);
	if (answer.refused) return answer.refused;
	const searched = prefix && prefix !== wanted.prefix.trim().toLowerCase() ? ` Asked for as ${prefix}: other scripts are found label by label.` : '';
	if (answer.names.length === 0 && answer.cursor) return `None found so far; the search goes on with the next page.${searched}`;
	if (answer.names.length === 0 && cursors.length > 1) return 'No more names.';
	if (answer.names.length === 0) return prefix ? `None begins with “${visible(prefix)}”. “Look up” asks for exactly this name.${searched}` : none;
	const all = !prefix && counter && cursors.length === 1 && answer.cursor ? `The first ${count(answer.names.length)} of ${counted(cache[counter], 'name')}.` : '';
	return (all || `${counted(answer.names.length, 'name')}${cursors.length > 1 || answer.cursor ? ' on this page' : ''}.`) + searched;
}

// Rows stay where their names stay, so that nothing jumps and the focus is kept.
function showRows(wanted, columns, link) {
	const rows = new Map([...body.rows].map((row) => [row.dataset.name, row]));
	const wantedRows = answer.names.map((name) => rows.get(name.name) ?? newRow(name.name));
	if (wantedRows.length !== body.rows.length || wantedRows.some((row, index) => row !== body.rows[index])) {
		const focused = document.activeElement?.closest('#list tbody tr')?.dataset.name;
		body.replaceChildren(...wantedRows);
		if (focused) (wantedRows.find((row) => row.dataset.name === focused) ?? wantedRows[0])?.querySelector('a').focus({ preventScroll: true });
	}
	answer.names.forEach((name, index) => {
		const row = wantedRows[index];
		row.cells[0].firstChild.href = link(name.name);
		row.classList.toggle('chosen', name.name === wanted.name);
		if (!changed(row, [wanted.list, name])) return;
		while (row.cells.length > 1) row.lastChild.remove();
		row.append(...columns.map(([title, show]) => cell(title, show(name))));
	});
}

function newRow(name) {
	const other = unicode(name);
	const aside = other ? [node('bdi', { className: 'aside' }, ` ${other}`)] : [];
	const row = node('tr', {}, node('th', { scope: 'row' }, node('a', { title: name.length > 60 ? visible(name) : '' }, node('bdi', {}, visible(name)), ...aside)));
	row.dataset.name = name;
	return row;
}

function cell(title, content) {
	const data = node('td', {}, content || '–');
	data.dataset.title = title;
	return data;
}
