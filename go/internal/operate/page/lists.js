// Which lists of names there are, and what each says of a name.
import { moment, node, visible } from './text.js';

const since = ['Since', (name) => name.failing_since && moment(name.failing_since)];
const retry = ['Next try', (name) => name.retry_at && moment(name.retry_at, { past: 'due' })];
const why = ['Why', (name) => node('span', { className: 'clamped' }, visible(name.last_error ?? ''))];
const state = ['State', (name) => word(name.state)];
const end = ['Certificate ends', (name) => name.not_after && moment(name.not_after, { soon: 3 * 86400 })];
const fresh = ['Fresh until', (name) => name.fresh_until && moment(name.fresh_until)];
const remembered = ['Remembered until', (name) => name.fresh_until && moment(name.fresh_until)];

// By the states of the service, but for "memory", which is all with a certificate there. The counter is one of a cache.
export const lists = {
	failing: { title: 'Failing', columns: [since, retry, why], counter: 'failing_names', none: 'No name fails.' },
	ending: { title: 'Ending soon', columns: [end, fresh, state], none: 'No certificate is in memory.' },
	stale: { title: 'Stale', columns: [fresh, end, state], none: 'No certificate is past its lifetime.' },
	expired: { title: 'Expired', columns: [end, state], none: 'No certificate in memory is past its use.' },
	negative: { title: 'Unknown', columns: [remembered], counter: 'negatives', none: 'None is remembered.' },
	memory: { title: 'In memory', columns: [state, end, fresh], counter: 'entries', none: 'No name is in memory.' },
	disk: { title: 'On disk', columns: [state, end, fresh], counter: 'disk_entries', none: 'No name is on disk.' },
};

// word says a state; the sign before it is the style's.
export function word(name) {
	const className = /^\w+$/.test(name) ? `state ${name}` : 'state';
	return node('span', { className }, name === 'negative' ? 'unknown' : visible(name));
}
