// All that is known of one name.
import { Refused, get } from './api.js';
import { word } from './list.js';
import { moment, node, rebuild, unicode, visible } from './text.js';

const [section, title, state, certificates] = ['#facts', '#facts-name', '#state', '#certificates'].map((id) => document.querySelector(id));

let facts = null; // of the name that is shown
let refused = null; // why there are none

export async function loadFacts(wanted, signal) {
	if (!wanted.name) return;
	if (/^\.+$/.test(wanted.name)) return void (refused = new Refused(400, 'That is no name.')); // a URL would lose it
	try {
		facts = await get(`names/${encodeURIComponent(wanted.name)}`, { cache: wanted.cache }, signal);
		refused = null;
	} catch (error) {
		if (!(error instanceof Refused)) throw error;
		[facts, refused] = [null, error];
	}
}

// forgetFacts makes room for another name: nothing of the former one may be taken for its.
export function forgetFacts() {
	[facts, refused] = [null, null];
}

export function showFacts(wanted) {
	section.hidden = !wanted.name;
	document.querySelector('#work').classList.toggle('split', Boolean(wanted.name));
	if (!wanted.name) return;
	const other = unicode(wanted.name);
	rebuild(title, wanted.name, () => [node('bdi', {}, visible(wanted.name)), other && node('bdi', { className: 'aside' }, ` ${other}`)].filter(Boolean));
	const { entries, ...rest } = facts ?? {};
	rebuild(state, [rest, refused?.message, !facts], () => (facts ? sentences(facts) : node('p', { className: 'empty' }, absence())));
	rebuild(certificates, entries ?? [], () => (entries ?? []).map(certificate));
}

function absence() {
	if (!refused) return 'Asking…';
	if (refused.status !== 404) return refused.message;
	return 'Nothing is known of this name here. Its first handshake asks the backend.';
}

function sentences(name) {
	const held = name.entries?.some((entry) => entry.state !== 'expired');
	const told = [];
	const add = (className, ...parts) => told.push(node('p', { className }, ...parts));
	if (name.failing_since) {
		add('bad', node('strong', {}, 'Failing '), 'since ', moment(name.failing_since, { full: true }), '.');
		if (name.last_error) add('error', node('bdi', {}, visible(name.last_error)));
		if (name.retry_at) add('', 'Next try: ', moment(name.retry_at, { full: true, past: 'due' }), '.');
		add('aside', held ? 'Its certificate is served meanwhile.' : 'No certificate can be served: handshakes fail.');
	}
	if (name.negative_until) {
		add('', node('strong', {}, 'Unknown. '), 'The backend has no certificate for it; that is remembered until ', moment(name.negative_until, { full: true }), '.');
	}
	if (name.unsupported_until) {
		add('', 'Clients that can’t use its kind of key are turned away, without asking, until ', moment(name.unsupported_until, { full: true }), '.');
	}
	return told;
}

function certificate(entry) {
	const places = (entry.in ?? []).map((place) => (place === 'disk' ? 'on disk' : place === 'memory' ? 'in memory' : visible(place)));
	const rows = [
		['Ends', moment(entry.not_after, { full: true, soon: 3 * 86400 })],
		['Fresh until', entry.fresh_until && moment(entry.fresh_until, { full: true })],
		['Served until', entry.stale_until && moment(entry.stale_until, { full: true, soon: 3600 })],
		['Fetched', moment(entry.fetched_at, { full: true })],
		['Valid from', moment(entry.not_before, { full: true })],
		['Held', places.join(' and ') || 'nowhere'],
		['Issuer', node('bdi', {}, visible(entry.issuer))],
		['Names', names(entry.dns_names ?? [])],
		['Serial', node('code', {}, visible(entry.serial))],
		['SHA-256', node('code', {}, visible(entry.sha256))],
	];
	return node('article', {}, node('h3', {}, visible(entry.key_type), ' ', word(entry.state)),
		node('dl', {}, ...rows.filter(([, value]) => value).flatMap(([key, value]) => [node('dt', {}, key), node('dd', {}, value)])));
}

function names(list) {
	const text = list.map(visible).join(', ');
	if (list.length <= 4) return text || 'none';
	return node('details', {}, node('summary', {}, `${list.length} names`), text);
}
