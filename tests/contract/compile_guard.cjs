// Loaded into prism (node --require): says aloud when a schema cannot be compiled, and ends prism with its parent.
//
// Prism swallows that error and then validates nothing against the schema: a contract test that is green for want of
// a contract. contract_proxy.py looks for these lines and takes each for a violation. NODAG_CONTRACT_FOLDER is where
// node_modules lies. Standard input is a pipe from the parent: its end means that the parent is gone, killed or not.
'use strict';
const path = require('path');
process.stdin.on('end', () => process.exit(0)).resume();
const core = require(path.join(process.env.NODAG_CONTRACT_FOLDER, 'node_modules/ajv/dist/core')).default;
const compile = core.prototype.compile;
core.prototype.compile = function (schema, ...rest) {
  try {
    return compile.call(this, schema, ...rest);
  } catch (error) {
    const about = { title: schema.title || schema['x-stoplight']?.id || '?', why: String(error.message).slice(0, 400) };
    console.error(`\nUNCOMPILED ${JSON.stringify(about)}`);
    throw error;
  }
};
