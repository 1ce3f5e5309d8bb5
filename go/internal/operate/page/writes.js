// Purge and refresh of the name that is shown. Without write, the page has no buttons for them.
import { post } from './api.js';
import { find, node, say, visible } from './text.js';

const [refresh, purge, outcome, dialog] = ['#refresh', '#purge', '#outcome', '#confirm'].map(find);

const outcomes = {
	found: 'The backend sent a certificate.',
	not_modified: 'The backend says that what is held is right.',
	no_certificate: 'The backend has no certificate for it.',
	failed: 'Not refreshed; what is held is served as before.',
	fresh: 'It is fresh; nobody was asked.',
};

const told = new Map(); // what came of the last write, by cache and name
const key = ({ cache, name }) => `${cache} ${name}`;

export function showOutcome(wanted) {
	if (!outcome) return;
	const { text = '', bad = false, pending = false } = told.get(key(wanted)) ?? {};
	say(outcome, text);
	outcome.classList.toggle('bad', bad);
	refresh.ariaDisabled = String(pending); // not disabled: that would lose the focus
}

// setUpWrites ties the buttons to what they do. current says which name of which cache; changed is called whenever
// there is something new to show.
export function setUpWrites(current, changed) {
	if (!dialog) return;
	const [error, sure, keep] = ['#confirm-error', '#confirm-purge', '#keep'].map(find);
	const tell = (target, result) => {
		told.set(key(target), result);
		showOutcome(current());
	};

	refresh.onclick = async () => {
		const target = { ...current() };
		if (told.get(key(target))?.pending) return;
		tell(target, { text: 'Asking the backend…', pending: true });
		try {
			const [result] = await post('refresh', { names: [target.name], cache: target.cache }, 120_000);
			// What goes wrong after the answer has begun is its last line.
			if (result?.error) throw new Error(`The service says: ${visible(result.error)}`);
			if (!result?.outcome) throw new Error('The answer was cut off.');
			const text = `${outcomes[result.outcome] ?? visible(result.outcome)} ${visible(result.reason ?? '')}`;
			tell(target, { text: text.trim(), bad: result.outcome === 'failed' });
		} catch (failed) {
			tell(target, { text: `Not refreshed. ${reason(failed)}`, bad: true });
		}
		changed();
	};

	let target = null; // what the dialog asks about, whatever is shown behind it
	purge.onclick = () => {
		target = { ...current() };
		find('#confirm-title').replaceChildren('Purge ', node('bdi', {}, visible(target.name)), '?');
		say(error, '');
		dialog.showModal();
	};
	keep.onclick = () => dialog.close();
	sure.onclick = async () => {
		if (sure.ariaDisabled === 'true') return;
		sure.ariaDisabled = 'true';
		try {
			const [{ purged }] = await post('purge', { names: [target.name], cache: target.cache }, 60_000);
			dialog.close();
			tell(target, { text: purged ? 'Purged. The next handshake asks the backend.' : 'Nothing was held of it.' });
		} catch (failed) {
			say(error, `Not known to be purged. ${reason(failed)}`);
		}
		sure.ariaDisabled = 'false';
		changed();
	};
}

function reason(failed) {
	return `${failed.message} ${failed.why ?? ''}`.trim();
}
