// The caches: how they are, what they hold of what they may, and which one is looked at.
import { get } from './api.js';
import { count, counted, find, moment, node, rebuild, size, visible } from './text.js';

const place = find('#caches');
const day = 86400;

let caches = [];

export async function loadCaches(signal) {
	caches = await get('caches', {}, signal);
}

// chosenCache is the one with this id; failing that, one in trouble, or else the first.
export function chosenCache(id) {
	return caches.find((cache) => cache.id === id) ?? caches.find(inTrouble) ?? caches[0];
}

export function troubled() {
	if (caches.some((cache) => cache.breaker_open)) return 'Breaker open';
	const failing = caches.reduce((sum, cache) => sum + cache.failing_names, 0);
	return failing ? `${count(failing)} failing` : '';
}

// showCaches shows each as a card. Several are a group of radio buttons.
export function showCaches(chosen, choose) {
	place.ariaBusy = 'false';
	const ids = caches.map((cache) => cache.id).join();
	if (place.dataset.ids !== ids) {
		place.dataset.ids = ids;
		place.querySelectorAll('.cache').forEach((card) => card.remove());
		place.append(...caches.map((cache) => card(cache, caches.length > 1, choose)));
	}
	for (const cache of caches) {
		const card = place.querySelector(`#cache-${CSS.escape(cache.id)}`);
		const radio = card.querySelector('input');
		if (radio) radio.checked = cache === chosen;
		card.classList.toggle('chosen', cache === chosen);
		rebuild(card.querySelector('.who'), [cache.backend, cache.cache_dir], () => who(cache));
		rebuild(card.querySelector('.how'), [cache.breaker_open, cache.failing_names], () => how(cache));
		if (cache === chosen) rebuild(card.querySelector('.figures'), cache, () => figures(cache));
	}
}

function card(cache, several, choose) {
	const content = ['who', 'how', 'figures'].map((className) => node('span', { className }));
	const properties = { className: 'cache', id: `cache-${cache.id}` };
	if (!several) return node('div', properties, ...content);
	const radio = node('input', { type: 'radio', name: 'cache', value: cache.id, onchange: () => choose(cache.id) });
	return node('label', properties, radio, ...content);
}

function inTrouble(cache) {
	return cache.breaker_open || cache.failing_names > 0;
}

function who(cache) {
	const folder = cache.cache_dir ? node('bdi', {}, visible(cache.cache_dir)) : 'in memory only';
	const backend = node('bdi', { className: 'backend' }, visible(cache.backend));
	return [backend, node('span', { className: 'aside' }, folder)];
}

function how(cache) {
	const failing = cache.failing_names ? `${counted(cache.failing_names, 'name')} failing` : 'No name failing';
	if (!cache.breaker_open) return node('span', { className: cache.failing_names ? 'bad' : 'aside' }, failing);
	const meaning = `The backend is down; one probe at a time is let through. ${failing}.`;
	return [node('strong', { className: 'bad' }, 'Breaker open'), ' ', node('span', { className: 'aside' }, meaning)];
}

function figures(cache) {
	const { limits } = cache;
	const told = [metered('Memory', cache.entry_bytes, limits.max_memory, cache.entries)];
	if (cache.cache_dir) told.push(metered('Disk', cache.disk_bytes, limits.max_disk, cache.disk_entries));
	told.push(figure('Unknown names', count(cache.negatives), `in up to ${size(limits.max_negative_memory)}`));
	told.push(figure('Requests at once', `up to ${count(limits.max_concurrent_fetches)}`));
	const end = (title, time, soon) => time && told.push(figure(title, moment(time, { soon }), 'first in demand'));
	end('Bridge ends', cache.first_bridge_end, day);
	end('Certificate ends', cache.first_certificate_end, 3 * day);
	return told;
}

function figure(title, value, aside = '') {
	const told = Object.entries({ title, value, aside }).map(([className, text]) => node('span', { className }, text));
	return node('span', { className: 'figure' }, ...told);
}

function metered(title, used, limit, certificates) {
	const text = `${size(used)} of ${size(limit)}`;
	const told = figure(title, text, counted(certificates, 'certificate'));
	const meter = node('meter', { min: 0, max: Math.max(limit, 1), value: used, ariaLabel: `${title}: ${text}` });
	told.querySelector('.value').after(meter);
	return told;
}
