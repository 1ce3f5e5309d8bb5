// All that is known of one name.
import { Refused, get } from './api.js';
import { word } from './lists.js';
import { find, moment, node, rebuild, told, visible } from './text.js';

const [section, title, state, certificates] = ['#facts', '#facts-name', '#state', '#certificates'].map(find);

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
	find('#work').classList.toggle('split', Boolean(wanted.name));
	if (!wanted.name) return;
	rebuild(title, wanted.name, () => told(wanted.name));
	const { entries, ...rest } = facts ?? {};
	const summary = () => (facts ? sentences(facts) : node('p', { className: 'empty' }, absence()));
	rebuild(state, [rest, refused?.message, !facts], summary);
	rebuild(certificates, entries ?? [], () => (entries ?? []).map(certificate));
}

function absence() {
	if (!refused) return 'Asking…';
	if (refused.status !== 404) return refused.message;
	return 'Nothing is known of this name here. Its first handshake asks the backend.';
}

function sentences(name) {
	const all = [];
	const add = (className, ...parts) => all.push(node('p', { className }, ...parts));
	const at = (time, past = '') => moment(time, { full: true, past });
	if (name.failing_since) {
		const held = name.entries?.some((entry) => entry.state !== 'expired');
		add('bad', node('strong', {}, 'Failing'), ' since ', at(name.failing_since), '.');
		if (name.last_error) add('error', node('bdi', {}, visible(name.last_error)));
		if (name.retry_at) add('', 'Next try: ', at(name.retry_at, 'due'), '.');
		add('aside', held ? 'Its certificate is served meanwhile.' : 'No certificate can be served: handshakes fail.');
	}
	if (name.negative_until) {
		const what = 'The backend has no certificate for it; that is remembered until ';
		add('', node('strong', {}, 'Unknown.'), ' ', what, at(name.negative_until), '.');
	}
	if (name.unsupported_until) {
		const whom = 'Clients that can’t use its kind of key are turned away, without asking, until ';
		add('', whom, at(name.unsupported_until), '.');
	}
	if (name.fleet_error) add('bad', 'What the fleet has is not known: ', node('bdi', {}, visible(name.fleet_error)));
	if (name.disk_error) add('bad', 'What lies on disk is not known: ', node('bdi', {}, visible(name.disk_error)));
	return all;
}

function certificate(entry) {
	const at = (time, soon = 0) => time && moment(time, { full: true, soon });
	const rows = {
		Ends: at(entry.not_after, 3 * 86400),
		'Fresh until': at(entry.fresh_until),
		'Served until': at(entry.stale_until, 3600),
		Fetched: at(entry.fetched_at),
		'Valid from': at(entry.not_before),
		Held: (entry.in ?? []).map((place) => (place === 'disk' ? 'on disk' : `in ${visible(place)}`)).join(' and '),
		Issuer: node('bdi', {}, visible(entry.issuer)),
		Names: names(entry.dns_names ?? []),
		Serial: node('code', {}, visible(entry.serial)),
		'SHA-256': node('code', {}, visible(entry.sha256)),
	};
	const known = Object.entries(rows).filter(([, value]) => value);
	return node('article', {},
		node('h3', {}, visible(entry.key_type), ' ', word(entry.state)),
		node('dl', {}, ...known.flatMap(([key, value]) => [node('dt', {}, key), node('dd', {}, value)])));
}

function names(list) {
	const all = list.map((name) => node('div', {}, visible(name)));
	return list.length > 4 ? node('details', {}, node('summary', {}, `${list.length} names`), ...all) : node('div', {}, ...all);
}
