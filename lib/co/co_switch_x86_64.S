/* SPDX-License-Identifier: ISC */
/*
 * The stack switch for x86-64 (System V ABI): callee-saved registers are pushed, the stack pointer is exchanged, and
 * the other side's are popped. Ends with `ret`, so it is clean under IBT; the note at the end says so, and says nothing
 * about shadow stacks, which makes the linker leave them off for the program. The rounding mode (mxcsr, x87 control
 * word) is the same everywhere and not switched.
 *
 * tests/gdb/postroad.py knows this layout: from the saved stack pointer upwards r15 r14 r13 r12 rbx rbp rip.
 */
	.text

/* void co_switch(struct co_context *from, const struct co_context *to) */
	.globl	co_switch
	.hidden	co_switch
	.type	co_switch, @function
	.p2align 4
co_switch:
	.cfi_startproc
	endbr64
	pushq	%rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	pushq	%rbx
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbx, 0
	pushq	%r12
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r12, 0
	pushq	%r13
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r13, 0
	pushq	%r14
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r14, 0
	pushq	%r15
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %r15, 0
	movq	%rsp, (%rdi)
	movq	(%rsi), %rsp		/* the same layout on the other stack: the CFI stays true */
	popq	%r15
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r15
	popq	%r14
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r14
	popq	%r13
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r13
	popq	%r12
	.cfi_adjust_cfa_offset -8
	.cfi_restore %r12
	popq	%rbx
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbx
	popq	%rbp
	.cfi_adjust_cfa_offset -8
	.cfi_restore %rbp
	ret
	.cfi_endproc
	.size	co_switch, . - co_switch

/* The oldest frame of every coroutine: r12 is its entry, r13 the argument. Unwinding ends here. */
	.type	co_boot, @function
	.p2align 4
co_boot:
	.cfi_startproc
	.cfi_undefined %rip
	endbr64
	movq	%r13, %rdi
	xorl	%ebp, %ebp
	call	*%r12
	ud2
	.cfi_endproc
	.size	co_boot, . - co_boot

/*
 * void co_context_make(struct co_context *c, void *stack_low, size_t size, void (*entry)(void *), void *arg)
 * Lays out what co_switch pops. After its ret the stack pointer is a multiple of 16, as a call wants it.
 */
	.globl	co_context_make
	.hidden	co_context_make
	.type	co_context_make, @function
	.p2align 4
co_context_make:
	.cfi_startproc
	endbr64
	leaq	(%rsi,%rdx), %rax
	andq	$-16, %rax
	leaq	co_boot(%rip), %r10
	movq	%r10, -8(%rax)		/* rip */
	movq	$0, -16(%rax)		/* rbp: the end of the frame pointer chain */
	movq	$0, -24(%rax)		/* rbx */
	movq	%rcx, -32(%rax)		/* r12 */
	movq	%r8, -40(%rax)		/* r13 */
	movq	$0, -48(%rax)		/* r14 */
	movq	$0, -56(%rax)		/* r15 */
	subq	$56, %rax
	movq	%rax, (%rdi)
	ret
	.cfi_endproc
	.size	co_context_make, . - co_context_make

	.section .note.GNU-stack, "", @progbits

/* GNU property: X86_FEATURE_1_AND = IBT */
	.section .note.gnu.property, "a", @note
	.p2align 3
	.long	4
	.long	16
	.long	5
	.asciz	"GNU"
	.long	0xc0000002
	.long	4
	.long	1
	.long	0
